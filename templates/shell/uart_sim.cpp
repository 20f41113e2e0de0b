// A board with a UART, simulated: what comes on standard input goes to its pin uart_rx, what its pin uart_tx says goes
// to standard output. Runs as fast as it can.
//
// Arguments: clock cycles a bit, and for how many cycles to go on after the line has gone quiet; then it waits for more
// input. Input: pairs of bytes. (0, x): byte x. (1, n): n bit times of silence. (2, x): byte x with its stop bit
// missing. (3, n): a glitch, n cycles low. At the end of the input it goes on until all is quiet, and ends.
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "Vflow.h"
#include "verilated.h"

struct Level {
    bool high;
    uint64_t cycles;
};

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const uint64_t bit = std::strtoull(argv[1], nullptr, 10), settle = std::strtoull(argv[2], nullptr, 10);
    VerilatedContext context;
    context.randReset(2); // registers without a reset start with random values
    context.randSeed(1);
    Vflow top(&context);
    std::deque<Level> line;
    uint64_t quiet = 0, tx_wait = 0;
    int tx_bits = -1, value = 0, op = -1;
    bool open = true;

    top.clk = 0;
    top.rst = 1;
    top.uart_rx = 1;
    for (int i = 0; i < 8; i++) {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
    }
    top.rst = 0;
    for (uint64_t cycle = 0;; cycle++) {
        // New input is looked for when there is nothing to send; an idle board sleeps.
        if (open && line.empty() && (cycle % 256 == 0 || quiet > settle)) {
            pollfd wait = {0, POLLIN, 0};
            if (poll(&wait, 1, quiet > settle ? -1 : 0) > 0) {
                unsigned char data[512];
                const ssize_t count = read(0, data, sizeof data);
                if (count <= 0) open = false;
                for (ssize_t i = 0; i < count; i++) {
                    if (op < 0) {
                        op = data[i];
                        continue;
                    }
                    const unsigned argument = data[i];
                    if (op == 0 || op == 2) {
                        line.push_back({false, bit});
                        for (int b = 0; b < 8; b++) line.push_back({((argument >> b) & 1) != 0, bit});
                        line.push_back({op == 0, bit});
                        if (op == 2) line.push_back({true, 2 * bit});
                    } else if (op == 1) line.push_back({true, argument * bit + 1});
                    else if (op == 3) {
                        line.push_back({false, argument});
                        line.push_back({true, bit});
                    } else return 2;
                    op = -1;
                }
                quiet = 0;
            }
        }
        if (!open && quiet > settle) break;
        top.clk = 0;
        if (!line.empty()) {
            top.uart_rx = line.front().high;
            if (--line.front().cycles == 0) line.pop_front();
            quiet = 0;
        } else {
            top.uart_rx = 1;
            quiet++;
        }
        top.eval();
        top.clk = 1;
        top.eval();
        // What the board says, read in the middle of each bit.
        if (tx_bits < 0) {
            if (!top.uart_tx) {
                tx_bits = 0;
                tx_wait = bit + bit / 2;
                value = 0;
            }
        } else if (--tx_wait == 0) {
            if (tx_bits < 8) {
                value |= (top.uart_tx ? 1 : 0) << tx_bits++;
                tx_wait = bit;
            } else {
                if (!top.uart_tx) {
                    std::fprintf(stderr, "Error: the board sent a byte without a stop bit\n");
                    return 3;
                }
                std::putchar(value);
                std::fflush(stdout);
                tx_bits = -1;
            }
        }
        if (tx_bits >= 0) quiet = 0;
    }
    top.final();
    return 0;
}
