// Multiply-accumulate array, style "multiply": a multiplier each (DSPs where the synthesizer may) and adder trees.
//
// OUTPUTS sums of INPUTS products a cycle. All styles share this interface: input i at bits i * INPUT_BITS of
// in_data, its weight for output o at bits (o * INPUTS + i) * WEIGHT_BITS of in_weights, two's complement, or with
// BINARY one bit that is 1 for 1 and 0 for -1. Sums are two's complement, modulo 2**SUM_BITS. The pipeline moves
// while `enable` is high; in_tag travels with the data, and reset clears it.
`default_nettype none
// Waived: sums of different widths are extended to a common one, and parameters decide how much of it is used.
// verilator lint_off UNUSEDSIGNAL
module flow_mac_multiply #(
    parameter integer OUTPUTS = 4,
    parameter integer INPUTS = 4,
    parameter integer INPUT_BITS = 4,
    parameter integer INPUT_SIGNED = 0,
    parameter integer WEIGHT_BITS = 4,
    parameter integer BINARY = 0,
    parameter integer SUM_BITS = 10,
    parameter integer TAG_BITS = 1
) (
    input  wire                                  clk,
    input  wire                                  rst,
    input  wire                                  enable,
    input  wire [TAG_BITS-1:0]                   in_tag,
    input  wire [INPUTS*INPUT_BITS-1:0]          in_data,
    input  wire [OUTPUTS*INPUTS*WEIGHT_BITS-1:0] in_weights,
    output wire [TAG_BITS-1:0]                   out_tag,
    output wire [OUTPUTS*SUM_BITS-1:0]           out_sums
);
    localparam integer FACTOR_BITS = BINARY != 0 ? 2 : WEIGHT_BITS;
    localparam integer PRODUCT_BITS = INPUT_BITS + 1 + FACTOR_BITS;
    localparam integer TREE_BITS = PRODUCT_BITS + $clog2(INPUTS);

    flow_delay #(
        .BITS(TAG_BITS),
        .STAGES(1 + $clog2(INPUTS))
    ) tag (
        .clk(clk),
        .rst(rst),
        .enable(enable),
        .in(in_tag),
        .out(out_tag)
    );

    genvar o, i;
    generate
        for (o = 0; o < OUTPUTS; o = o + 1) begin : each_output
            reg [INPUTS*PRODUCT_BITS-1:0] products;
            wire signed [TREE_BITS-1:0] sum;
            for (i = 0; i < INPUTS; i = i + 1) begin : each_input
                wire signed [INPUT_BITS:0] x = {
                    INPUT_SIGNED != 0 && in_data[i*INPUT_BITS+INPUT_BITS-1], in_data[i*INPUT_BITS+:INPUT_BITS]
                };
                wire signed [FACTOR_BITS-1:0] w;
                wire signed [PRODUCT_BITS-1:0] product = x * w;
                if (BINARY != 0) begin : binary
                    assign w = {!in_weights[o*INPUTS+i], 1'b1};
                end else begin : fixed
                    assign w = in_weights[(o*INPUTS+i)*WEIGHT_BITS+:WEIGHT_BITS];
                end
                always @(posedge clk) if (enable) products[i*PRODUCT_BITS+:PRODUCT_BITS] <= product;
            end
            flow_tree #(
                .COUNT(INPUTS),
                .BITS(PRODUCT_BITS),
                .SIGNED(1)
            ) tree (
                .clk(clk),
                .enable(enable),
                .in(products),
                .out(sum)
            );
            // Waived: sign-extended or cut, as SUM_BITS says.
            // verilator lint_off WIDTH
            wire signed [SUM_BITS-1:0] result = sum;
            // verilator lint_on WIDTH
            assign out_sums[o*SUM_BITS+:SUM_BITS] = result;
        end
    endgenerate
endmodule
// verilator lint_on UNUSEDSIGNAL
`default_nettype wire
