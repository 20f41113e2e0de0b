// As much of iCE40's PLL as a simulation needs whose unit of time is a cycle of its output: the output is the input,
// and it locks after some cycles. What the dividers make is checked where they are chosen, and by nextpnr.
`default_nettype none
// verilator lint_off UNUSEDPARAM
// verilator lint_off UNUSEDSIGNAL
module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 4'd0,
    parameter [6:0] DIVF = 7'd0,
    parameter [2:0] DIVQ = 3'd0,
    parameter [2:0] FILTER_RANGE = 3'd0
) (
    input  wire REFERENCECLK,
    input  wire RESETB,
    input  wire BYPASS,
    output wire PLLOUTGLOBAL,
    output wire LOCK
);
    reg [5:0] cycles;
    initial cycles = 6'd0;
    always @(posedge REFERENCECLK) if (!LOCK) cycles <= cycles + 1'b1;
    assign LOCK = &cycles;
    assign PLLOUTGLOBAL = REFERENCECLK;
endmodule
`default_nettype wire
