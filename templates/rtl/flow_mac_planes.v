// Multiply-accumulate array, style "planes": no multipliers, one sum of selected inputs a bit of the weights.
//
// x * w is the sum over the bits of w of x shifted. What a pair of inputs can contribute to a plane (either, both or
// nothing) is computed once for all outputs; a LUT6 then handles two inputs of one output, one bit of the sum and
// one of the weights. Binary weights are one plane: the sum of x * (2 b - 1) is twice the plane's sum less the sum
// of all inputs, which all outputs share. Interface: see flow_mac_multiply.
`default_nettype none
// Waived: sums of different widths are extended to a common one, and parameters decide how much of it is used.
// verilator lint_off UNUSEDSIGNAL
module flow_mac_planes #(
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
    localparam integer PAIRS = (INPUTS + 1) / 2;
    localparam integer BITS = INPUT_BITS + 1;
    localparam integer GROUP = 4;
    localparam integer CHAIN = PAIRS < GROUP ? PAIRS : GROUP;
    localparam integer GROUPS = (PAIRS + CHAIN - 1) / CHAIN;
    localparam integer PLANE_BITS = BITS + $clog2(CHAIN) + $clog2(GROUPS);
    localparam integer JOIN_STAGES = WEIGHT_BITS == 1 ? 1 : $clog2(WEIGHT_BITS);

    flow_delay #(
        .BITS(TAG_BITS),
        .STAGES(2 + $clog2(GROUPS) + JOIN_STAGES)
    ) tag (
        .clk(clk),
        .rst(rst),
        .enable(enable),
        .in(in_tag),
        .out(out_tag)
    );

    // What pairs can contribute, and the weights beside it

    reg [PAIRS*3*BITS-1:0]                 pairs;
    reg [OUTPUTS*INPUTS*WEIGHT_BITS-1:0]   weights;

    always @(posedge clk) if (enable) weights <= in_weights;

    genvar o, i, j;
    generate
        for (i = 0; i < PAIRS; i = i + 1) begin : each_pair
            wire [INPUT_BITS-1:0] narrow_a = in_data[2*i*INPUT_BITS+:INPUT_BITS];
            wire [BITS-1:0] a = {INPUT_SIGNED != 0 && narrow_a[INPUT_BITS-1], narrow_a};
            if (2 * i + 1 < INPUTS) begin : two
                wire [INPUT_BITS-1:0] narrow_b = in_data[(2*i+1)*INPUT_BITS+:INPUT_BITS];
                wire [BITS-1:0] b = {INPUT_SIGNED != 0 && narrow_b[INPUT_BITS-1], narrow_b};
                wire [BITS-1:0] both = a + b;
                always @(posedge clk) if (enable) pairs[3*i*BITS+:3*BITS] <= {both, b, a};
            end else begin : one
                always @(posedge clk) if (enable) pairs[3*i*BITS+:3*BITS] <= {a, {BITS{1'b0}}, a};
            end
        end

        wire [PLANE_BITS:0] everything; // the sum of all inputs, for binary weights
        if (BINARY != 0) begin : binary
            wire [PLANE_BITS-1:0] sum;
            flow_plane_sum #(
                .PAIRS(PAIRS),
                .BITS(BITS),
                .SIGNED(INPUT_SIGNED),
                .GROUP(GROUP)
            ) all_inputs (
                .clk(clk),
                .enable(enable),
                .in_pairs(pairs),
                .in_bits({2 * PAIRS{1'b1}}),
                .out(sum)
            );
            assign everything = {INPUT_SIGNED != 0 && sum[PLANE_BITS-1], sum};
        end else begin : no_binary
            assign everything = {PLANE_BITS + 1{1'b0}};
        end

        for (o = 0; o < OUTPUTS; o = o + 1) begin : each_output
            wire [WEIGHT_BITS*(PLANE_BITS+1)-1:0] planes; // two's complement
            for (j = 0; j < WEIGHT_BITS; j = j + 1) begin : each_plane
                wire [2*PAIRS-1:0] bits;
                wire [PLANE_BITS-1:0] sum;
                for (i = 0; i < 2 * PAIRS; i = i + 1) begin : each_input
                    if (i < INPUTS) begin : there
                        assign bits[i] = weights[(o*INPUTS+i)*WEIGHT_BITS+j];
                    end else begin : missing
                        assign bits[i] = 1'b0;
                    end
                end
                flow_plane_sum #(
                    .PAIRS(PAIRS),
                    .BITS(BITS),
                    .SIGNED(INPUT_SIGNED),
                    .GROUP(GROUP)
                ) plane (
                    .clk(clk),
                    .enable(enable),
                    .in_pairs(pairs),
                    .in_bits(bits),
                    .out(sum)
                );
                assign planes[j*(PLANE_BITS+1)+:PLANE_BITS+1] = {INPUT_SIGNED != 0 && sum[PLANE_BITS-1], sum};
            end

            if (BINARY != 0) begin : binary
                // Waived: sign-extended or cut, as SUM_BITS says.
                // verilator lint_off WIDTH
                wire signed [PLANE_BITS+1:0] twice = {planes, 1'b0};
                wire signed [PLANE_BITS:0] less = everything;
                wire signed [SUM_BITS-1:0] difference = twice - less;
                // verilator lint_on WIDTH
                reg [SUM_BITS-1:0] result;
                always @(posedge clk) if (enable) result <= difference;
                assign out_sums[o*SUM_BITS+:SUM_BITS] = result;
            end else begin : fixed
                flow_plane_join #(
                    .COUNT(WEIGHT_BITS),
                    .BITS(PLANE_BITS + 1),
                    .SHIFT(1),
                    .NEGATE(1),
                    .OUT_BITS(SUM_BITS)
                ) join_planes (
                    .clk(clk),
                    .enable(enable),
                    .in(planes),
                    .out(out_sums[o*SUM_BITS+:SUM_BITS])
                );
            end
        end
    endgenerate
endmodule
// verilator lint_on UNUSEDSIGNAL
`default_nettype wire
