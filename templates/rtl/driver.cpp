// Drives a generated design with Verilator: beats from a file in, beats to a file out, with random stalls.
//
// Arguments: input file, output file, times file, output beats, seed, percent of cycles in which the input has
// nothing to offer, percent in which the output is not ready, most cycles, and the pace of the input: beats of a
// frame, cycles between frames, cycles between beats. Beats are 32-bit words, the lowest first.
// The times file gets the cycle in which each input and then each output beat was handed over, and the cycles in all,
// as 64-bit words. Exit status 3: the design did not give all its output in time.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <vector>

#include "Vflow.h"
#include "verilated.h"

template <typename T> static void put(T& port, const uint32_t* words, int count) {
    uint64_t value = words[0];
    if (count > 1) value |= static_cast<uint64_t>(words[1]) << 32;
    port = static_cast<T>(value);
}
template <std::size_t N> static void put(VlWide<N>& port, const uint32_t* words, int count) {
    for (int i = 0; i < count; i++) port[i] = words[i];
}
template <typename T> static void get(const T& port, uint32_t* words, int count) {
    uint64_t value = port;
    words[0] = static_cast<uint32_t>(value);
    if (count > 1) words[1] = static_cast<uint32_t>(value >> 32);
}
template <std::size_t N> static void get(const VlWide<N>& port, uint32_t* words, int count) {
    for (int i = 0; i < count; i++) words[i] = port[i];
}

template <typename T> static void save(const char* path, const std::vector<T>& data) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size() * sizeof(T)));
    file.close();
    if (!file) {
        std::fprintf(stderr, "Error: cannot write %s\n", path);
        std::exit(2);
    }
}

int main(int argc, char** argv) {
    if (argc != 12) return 2;
    std::ifstream file(argv[1], std::ios::binary);
    std::vector<char> raw((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<uint32_t> input(raw.size() / 4);
    for (std::size_t i = 0; i < input.size(); i++)
        for (int b = 0; b < 4; b++)
            input[i] |= static_cast<uint32_t>(static_cast<unsigned char>(raw[4 * i + static_cast<std::size_t>(b)])) << (8 * b);
    const std::size_t beats = input.size() / IN_WORDS, expected = std::strtoull(argv[4], nullptr, 10);
    std::mt19937_64 random(std::strtoull(argv[5], nullptr, 10));
    const uint64_t in_stall = std::strtoull(argv[6], nullptr, 10), out_stall = std::strtoull(argv[7], nullptr, 10);
    const uint64_t most = std::strtoull(argv[8], nullptr, 10), frame_beats = std::strtoull(argv[9], nullptr, 10);
    const uint64_t frame_cycles = std::strtoull(argv[10], nullptr, 10), apart = std::strtoull(argv[11], nullptr, 10);

    VerilatedContext context;
    context.randReset(2); // registers without a reset start with random values
    context.randSeed(static_cast<int>(random() & 0x7fffffff));
    Vflow top(&context);
    std::vector<uint32_t> output(expected * OUT_WORDS);
    std::vector<uint64_t> times(beats + expected + 1);
    std::size_t taken = 0, given = 0;
    bool offered = false;
    uint64_t cycle = 0;

    top.clk = 0;
    top.rst = 1;
    top.in_valid = 0;
    top.out_ready = 0;
    for (int i = 0; i < 4; i++) {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
    }
    top.rst = 0;
    for (; cycle < most && given < expected; cycle++) {
        // What is offered stays until it is taken.
        const uint64_t due = taken / frame_beats * frame_cycles + taken % frame_beats * apart;
        offered = taken < beats && (offered || (cycle >= due && random() % 100 >= in_stall));
        top.clk = 0;
        top.in_valid = offered;
        if (offered) put(top.in_data, &input[taken * IN_WORDS], IN_WORDS);
        top.out_ready = random() % 100 >= out_stall;
        top.eval();
        if (offered && top.in_ready) {
            times[taken++] = cycle;
            offered = false;
        }
        if (top.out_valid && top.out_ready) {
            get(top.out_data, &output[given * OUT_WORDS], OUT_WORDS);
            times[beats + given++] = cycle;
        }
        top.clk = 1;
        top.eval();
    }
    top.final();
    times[beats + expected] = cycle;
    if (given < expected) {
        std::fprintf(stderr, "Error: %zu of %zu beats came in %llu cycles\n", given, expected,
                     static_cast<unsigned long long>(cycle));
        return 3;
    }
    save(argv[2], output);
    save(argv[3], times);
    return 0;
}
