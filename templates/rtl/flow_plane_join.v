// Joins sums of weight bit planes: the sum over k of plane k times 2**(k * SHIFT), the last plane counting negative
// if NEGATE is set. Two's complement; a tree registered after every level. Latency $clog2(COUNT) cycles, 1 for a
// single plane that counts negative.
`default_nettype none
// Waived: sums of different widths are extended to a common one, and parameters decide how much of it is used.
// verilator lint_off UNUSEDSIGNAL
module flow_plane_join #(
    parameter integer COUNT = 4,
    parameter integer BITS = 8,
    parameter integer SHIFT = 1,
    parameter integer NEGATE = 1,
    parameter integer OUT_BITS = 16
) (
    input  wire                  clk,
    input  wire                  enable,
    input  wire [COUNT*BITS-1:0] in,
    output wire [OUT_BITS-1:0]   out
);
    genvar k;
    generate
        if (COUNT == 1) begin : leaf
            // Waived: sign-extended or cut, as OUT_BITS says.
            // verilator lint_off WIDTH
            wire signed [BITS-1:0] value = in;
            wire signed [OUT_BITS-1:0] wide = value;
            // verilator lint_on WIDTH
            if (NEGATE != 0) begin : negative
                reg [OUT_BITS-1:0] negated;
                always @(posedge clk) if (enable) negated <= -wide;
                assign out = negated;
            end else begin : positive
                assign out = wide;
            end
        end else begin : level
            localparam integer HALF = (COUNT + 1) / 2;
            localparam integer MORE = BITS + SHIFT + 1;
            reg [HALF*MORE-1:0] sums;
            for (k = 0; k < HALF; k = k + 1) begin : pair
                wire [BITS-1:0] a = in[2*k*BITS+:BITS];
                wire [MORE-1:0] wide_a = {{SHIFT + 1{a[BITS-1]}}, a};
                if (2 * k + 1 < COUNT) begin : two
                    wire [BITS-1:0] b = in[(2*k+1)*BITS+:BITS];
                    wire [MORE-1:0] wide_b = {b[BITS-1], b, {SHIFT{1'b0}}};
                    if (NEGATE != 0 && 2 * k + 2 == COUNT) begin : difference
                        always @(posedge clk) if (enable) sums[k*MORE+:MORE] <= wide_a - wide_b;
                    end else begin : sum
                        always @(posedge clk) if (enable) sums[k*MORE+:MORE] <= wide_a + wide_b;
                    end
                end else begin : one
                    always @(posedge clk) if (enable) sums[k*MORE+:MORE] <= wide_a;
                end
            end
            // With an even count the negative plane is part of a difference now.
            flow_plane_join #(
                .COUNT(HALF),
                .BITS(MORE),
                .SHIFT(2 * SHIFT),
                .NEGATE(NEGATE != 0 && COUNT % 2 != 0 ? 1 : 0),
                .OUT_BITS(OUT_BITS)
            ) rest (
                .clk(clk),
                .enable(enable),
                .in(sums),
                .out(out)
            );
        end
    endgenerate
endmodule
// verilator lint_on UNUSEDSIGNAL
`default_nettype wire
