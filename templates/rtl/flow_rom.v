// ROM of DEPTH words with a registered output, filled from FILE (hexadecimal words, one a line).
//
// ROM_STYLE: "block" for block RAM, "logic" for LUTs (Yosys' word; "distributed" would ask for LUT RAM there).
`default_nettype none
module flow_rom #(
    parameter integer BITS = 8,
    parameter integer DEPTH = 16,
    parameter integer ADDRESS_BITS = 4,
    parameter FILE = "",
    // Waived: only the synthesizer reads it, as an attribute.
    // verilator lint_off UNUSEDPARAM
    parameter ROM_STYLE = "logic"
    // verilator lint_on UNUSEDPARAM
) (
    input  wire                    clk,
    input  wire                    enable,
    input  wire [ADDRESS_BITS-1:0] address,
    output reg  [BITS-1:0]         data
);
    (* rom_style = ROM_STYLE *) reg [BITS-1:0] words[0:DEPTH-1];
    initial $readmemh(FILE, words);
    always @(posedge clk) if (enable) data <= words[address];
endmodule
`default_nettype wire
