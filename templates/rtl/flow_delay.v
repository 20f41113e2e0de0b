// Delay line of STAGES registers (0: a wire) that moves while `enable` is high; reset clears it.
`default_nettype none
module flow_delay #(
    parameter integer BITS = 1,
    parameter integer STAGES = 1
) (
    // Waived: a wire has no use for them.
    // verilator lint_off UNUSEDSIGNAL
    input  wire            clk,
    input  wire            rst,
    input  wire            enable,
    // verilator lint_on UNUSEDSIGNAL
    input  wire [BITS-1:0] in,
    output wire [BITS-1:0] out
);
    generate
        if (STAGES == 0) begin : none
            assign out = in;
        end else begin : some
            reg [BITS*STAGES-1:0] line;
            // Waived: what leaves the line is cut off.
            // verilator lint_off WIDTHTRUNC
            always @(posedge clk) begin
                if (rst) line <= {BITS * STAGES{1'b0}};
                else if (enable) line <= {line, in};
            end
            // verilator lint_on WIDTHTRUNC
            assign out = line[BITS*STAGES-1-:BITS];
        end
    endgenerate
endmodule
`default_nettype wire
