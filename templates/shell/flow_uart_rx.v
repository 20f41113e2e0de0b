// UART receiver: 8 data bits, no parity, one stop bit, least significant bit first.
//
// A byte begins with a falling edge that is still low half a bit later, so short glitches are ignored and a line held
// low (a break) is one error, not many bytes. Sampled in the middle of each bit. CLOCKS_PER_BIT: at least 4.
`default_nettype none
module flow_uart_rx #(
    parameter integer CLOCKS_PER_BIT = 100
) (
    input  wire       clk,
    input  wire       rst,
    input  wire       rx,
    output reg        valid, // one cycle: data is a received byte
    output reg        error, // one cycle: a byte without its stop bit
    output reg  [7:0] data
);
    localparam integer CW = $clog2(CLOCKS_PER_BIT);
    // Waived: constants are 32 bits wide and known to fit.
    // verilator lint_off WIDTHTRUNC
    localparam [CW-1:0] WHOLE = CLOCKS_PER_BIT - 1;
    localparam [CW-1:0] HALF = CLOCKS_PER_BIT / 2 - 1;
    // verilator lint_on WIDTHTRUNC

    (* ASYNC_REG = "TRUE" *) reg [1:0] meet; // two registers bring the pin into this clock
    reg previous;
    reg busy;
    reg [3:0] index; // 0: start bit, 1 to 8: data, 9: stop bit
    reg [CW-1:0] count;
    wire line = meet[1];

    always @(posedge clk) begin
        meet   <= {meet[0], rx};
        previous <= line;
        valid  <= 1'b0;
        error  <= 1'b0;
        if (rst) begin
            busy   <= 1'b0;
            meet   <= 2'b11;
            previous <= 1'b1;
        end else if (!busy) begin
            busy  <= previous && !line;
            index <= 4'd0;
            count <= HALF;
        end else if (count != 0) begin
            count <= count - 1'b1;
        end else begin
            count <= WHOLE;
            index <= index + 1'b1;
            if (index == 4'd0) busy <= !line;
            else if (index == 4'd9) begin
                busy  <= 1'b0;
                valid <= line;
                error <= !line;
            end else data <= {line, data[7:1]};
        end
    end
endmodule
`default_nettype wire
