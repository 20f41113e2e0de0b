// Fork: every beat goes to each of OUTPUTS streams, which take it at different times if they like.
//
// Combinational: an output that has taken the beat is marked and not offered it again; the input is taken with the
// last one.
`default_nettype none
module flow_fork #(
    parameter integer WIDTH = 8,
    parameter integer OUTPUTS = 2
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               in_valid,
    output wire               in_ready,
    input  wire [WIDTH-1:0]   in_data,
    output wire [OUTPUTS-1:0] out_valid,
    input  wire [OUTPUTS-1:0] out_ready,
    output wire [WIDTH-1:0]   out_data
);
    reg [OUTPUTS-1:0] taken;

    assign out_data  = in_data;
    assign out_valid = {OUTPUTS{in_valid}} & ~taken;
    assign in_ready  = &(taken | out_ready);

    always @(posedge clk) begin
        if (rst || in_ready) taken <= {OUTPUTS{1'b0}};
        else taken <= taken | (out_valid & out_ready);
    end
endmodule
`default_nettype wire
