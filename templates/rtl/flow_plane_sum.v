// The sum of those inputs that one plane of weight bits selects.
//
// Each pair of inputs brings its two values and their sum, which all outputs share: a 6-input LUT picks one of them
// (or none) by the two weight bits and adds it to the running sum on the carry chain. Up to GROUP pairs are chained
// in one cycle, groups are added in a tree. Latency 1 + $clog2(groups) cycles.
`default_nettype none
// Waived: sums of different widths are extended to a common one, and parameters decide how much of it is used.
// verilator lint_off UNUSEDSIGNAL
module flow_plane_sum #(
    parameter integer PAIRS = 4,
    parameter integer BITS = 5,    // of a pair's values, wide enough for their sum
    parameter integer SIGNED = 0,
    parameter integer GROUP = 4,
    // Not to be set:
    parameter integer CHAIN = PAIRS < GROUP ? PAIRS : GROUP,
    parameter integer GROUPS = (PAIRS + CHAIN - 1) / CHAIN,
    parameter integer GROUP_BITS = BITS + $clog2(CHAIN),
    parameter integer OUT_BITS = GROUP_BITS + $clog2(GROUPS)
) (
    input  wire                    clk,
    input  wire                    enable,
    input  wire [PAIRS*3*BITS-1:0] in_pairs, // from bit 0: the first value, the second, their sum
    input  wire [2*PAIRS-1:0]      in_bits,
    output wire [OUT_BITS-1:0]     out
);
    reg [GROUPS*GROUP_BITS-1:0] groups;

    genvar g, p;
    generate
        for (g = 0; g < GROUPS; g = g + 1) begin : group
            localparam integer COUNT = PAIRS - g * CHAIN < CHAIN ? PAIRS - g * CHAIN : CHAIN;
            for (p = 0; p < COUNT; p = p + 1) begin : pair
                localparam integer AT = g * CHAIN + p;
                localparam integer HERE = BITS + $clog2(p + 1); // p + 1 pairs fit into so many bits
                wire [BITS-1:0] a = in_pairs[3*AT*BITS+:BITS];
                wire [BITS-1:0] b = in_pairs[(3*AT+1)*BITS+:BITS];
                wire [BITS-1:0] both = in_pairs[(3*AT+2)*BITS+:BITS];
                wire [1:0] bits = in_bits[2*AT+:2];
                wire [BITS-1:0] picked = bits[1] ? (bits[0] ? both : b) : (bits[0] ? a : {BITS{1'b0}});
                wire [GROUP_BITS:0] wide = {{GROUP_BITS - BITS + 1{SIGNED != 0 && picked[BITS-1]}}, picked};
                wire [HERE-1:0] sum;
                if (p == 0) begin : first
                    assign sum = picked;
                end else begin : next
                    localparam integer LAST = BITS + $clog2(p);
                    wire [LAST-1:0] so_far = pair[p-1].sum;
                    wire [GROUP_BITS:0] wide_so_far = {{GROUP_BITS - LAST + 1{SIGNED != 0 && so_far[LAST-1]}}, so_far};
                    flow_add #(
                        .BITS(HERE)
                    ) add (
                        .a(wide_so_far[HERE-1:0]),
                        .b(wide[HERE-1:0]),
                        .sum(sum)
                    );
                end
            end
            localparam integer LAST = BITS + $clog2(COUNT);
            wire [LAST-1:0] total = pair[COUNT-1].sum;
            wire [GROUP_BITS:0] wide_total = {{GROUP_BITS - LAST + 1{SIGNED != 0 && total[LAST-1]}}, total};
            always @(posedge clk) if (enable) groups[g*GROUP_BITS+:GROUP_BITS] <= wide_total[GROUP_BITS-1:0];
        end
    endgenerate

    flow_tree #(
        .COUNT(GROUPS),
        .BITS(GROUP_BITS),
        .SIGNED(SIGNED)
    ) tree (
        .clk(clk),
        .enable(enable),
        .in(groups),
        .out(out)
    );
endmodule
// verilator lint_on UNUSEDSIGNAL
`default_nettype wire
