// UART transmitter: 8 data bits, no parity, one stop bit, least significant bit first.
`default_nettype none
module flow_uart_tx #(
    parameter integer CLOCKS_PER_BIT = 100
) (
    input  wire       clk,
    input  wire       rst,
    input  wire       valid,
    output wire       ready,
    input  wire [7:0] data,
    output wire       tx
);
    localparam integer CW = $clog2(CLOCKS_PER_BIT);
    // Waived: constants are 32 bits wide and known to fit.
    // verilator lint_off WIDTHTRUNC
    localparam [CW-1:0] WHOLE = CLOCKS_PER_BIT - 1;
    // verilator lint_on WIDTHTRUNC

    reg [9:0] bits; // what is still to be sent, the next one lowest; ones follow
    reg [3:0] left;
    reg [CW-1:0] count;

    assign ready = left == 4'd0;
    assign tx = bits[0];

    always @(posedge clk) begin
        if (rst) begin
            bits <= 10'h3ff;
            left <= 4'd0;
        end else if (ready) begin
            if (valid) begin
                bits  <= {1'b1, data, 1'b0};
                left  <= 4'd10;
                count <= WHOLE;
            end
        end else if (count != 0) begin
            count <= count - 1'b1;
        end else begin
            bits  <= {1'b1, bits[9:1]};
            left  <= left - 1'b1;
            count <= WHOLE;
        end
    end
endmodule
`default_nettype wire
