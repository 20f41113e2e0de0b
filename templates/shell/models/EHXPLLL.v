// As much of ECP5's PLL as a simulation needs whose unit of time is a cycle of its output: the output is the input,
// and it locks after some cycles. What the dividers make is checked where they are chosen, and by nextpnr.
`default_nettype none
// verilator lint_off UNUSEDPARAM
// verilator lint_off UNUSEDSIGNAL
module EHXPLLL #(
    parameter integer CLKI_DIV = 1,
    parameter integer CLKFB_DIV = 1,
    parameter FEEDBK_PATH = "CLKOP",
    parameter CLKOP_ENABLE = "ENABLED",
    parameter integer CLKOP_DIV = 8,
    parameter integer CLKOP_CPHASE = 0,
    parameter integer CLKOP_FPHASE = 0,
    parameter CLKOS_ENABLE = "DISABLED",
    parameter integer CLKOS_DIV = 8,
    parameter integer CLKOS_CPHASE = 0,
    parameter integer CLKOS_FPHASE = 0,
    parameter OUTDIVIDER_MUXA = "DIVA",
    parameter OUTDIVIDER_MUXB = "DIVB",
    parameter OUTDIVIDER_MUXC = "DIVC",
    parameter OUTDIVIDER_MUXD = "DIVD",
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED",
    parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED"
) (
    input  wire CLKI,
    input  wire CLKFB,
    input  wire RST,
    input  wire STDBY,
    input  wire PHASESEL0,
    input  wire PHASESEL1,
    input  wire PHASEDIR,
    input  wire PHASESTEP,
    input  wire PHASELOADREG,
    input  wire PLLWAKESYNC,
    input  wire ENCLKOP,
    input  wire ENCLKOS,
    output wire CLKOP,
    output wire CLKOS,
    output wire LOCK
);
    reg [5:0] cycles;
    initial cycles = 6'd0;
    always @(posedge CLKI) if (!LOCK) cycles <= cycles + 1'b1;
    assign LOCK = &cycles;
    assign CLKOP = CLKI;
    assign CLKOS = CLKI;
endmodule
`default_nettype wire
