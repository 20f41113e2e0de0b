// Adder tree, registered after every level: the sum of COUNT terms of BITS bits, exact. Latency $clog2(COUNT) cycles.
//
// A level is this module around a smaller tree. Registers between adders keep each on a carry chain of its own.
`default_nettype none
module flow_tree #(
    parameter integer COUNT = 4,
    parameter integer BITS = 8,
    parameter integer SIGNED = 1,
    parameter integer OUT_BITS = BITS + $clog2(COUNT) // not to be set
) (
    // Waived: a tree of one term is a wire.
    // verilator lint_off UNUSEDSIGNAL
    input  wire                  clk,
    input  wire                  enable,
    // verilator lint_on UNUSEDSIGNAL
    input  wire [COUNT*BITS-1:0] in,
    output wire [OUT_BITS-1:0]   out
);
    genvar k;
    generate
        if (COUNT == 1) begin : leaf
            assign out = in;
        end else begin : level
            localparam integer HALF = (COUNT + 1) / 2;
            reg [HALF*(BITS+1)-1:0] sums;
            for (k = 0; k < HALF; k = k + 1) begin : pair
                wire [BITS-1:0] a = in[2*k*BITS+:BITS];
                wire [BITS:0] wide_a = {SIGNED != 0 && a[BITS-1], a};
                if (2 * k + 1 < COUNT) begin : two
                    wire [BITS-1:0] b = in[(2*k+1)*BITS+:BITS];
                    wire [BITS:0] wide_b = {SIGNED != 0 && b[BITS-1], b};
                    always @(posedge clk) if (enable) sums[k*(BITS+1)+:BITS+1] <= wide_a + wide_b;
                end else begin : one
                    always @(posedge clk) if (enable) sums[k*(BITS+1)+:BITS+1] <= wide_a;
                end
            end
            flow_tree #(
                .COUNT(HALF),
                .BITS(BITS + 1),
                .SIGNED(SIGNED)
            ) rest (
                .clk(clk),
                .enable(enable),
                .in(sums),
                .out(out)
            );
        end
    endgenerate
endmodule
`default_nettype wire
