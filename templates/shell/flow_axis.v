// AXI-Stream on both sides of an accelerator that takes and gives plain beats.
//
// Each lane of a beat has LANE_BITS of its own (8, 16, 32 or 64), lane 0 lowest; a beat is WORDS words of TDATA, the
// lowest first. An inference is BEATS beats. TLAST in marks the end of a batch, of one inference or many: TLAST out
// marks the end of its last result, and only then the next batch is let in. If a batch breaks off within an inference,
// zeros take the place of what is missing, so a wrong length never leaves half an inference behind.
`default_nettype none
module flow_axis #(
    parameter integer IN_LANES = 1,
    parameter integer IN_WIDTH = 8,
    parameter integer IN_LANE_BITS = 8,
    parameter integer IN_TDATA = 8,
    parameter integer IN_WORDS = 1,
    parameter integer IN_BEATS = 16,
    parameter integer OUT_LANES = 1,
    parameter integer OUT_WIDTH = 8,
    parameter integer OUT_SIGNED = 1,
    parameter integer OUT_LANE_BITS = 8,
    parameter integer OUT_TDATA = 8,
    parameter integer OUT_WORDS = 1,
    parameter integer OUT_BEATS = 10
) (
    input  wire                           clk,
    input  wire                           rst,
    input  wire                           s_axis_tvalid,
    output wire                           s_axis_tready,
    input  wire                           s_axis_tlast,
    input  wire [IN_TDATA-1:0]            s_axis_tdata,
    output wire                           m_axis_tvalid,
    input  wire                           m_axis_tready,
    output wire                           m_axis_tlast,
    output wire [OUT_TDATA-1:0]           m_axis_tdata,
    output wire                           in_valid,
    input  wire                           in_ready,
    output wire [IN_LANES*IN_WIDTH-1:0]   in_data,
    input  wire                           out_valid,
    output wire                           out_ready,
    input  wire [OUT_LANES*OUT_WIDTH-1:0] out_data
);
    localparam integer IN_COUNT = IN_BEATS * IN_WORDS, OUT_COUNT = OUT_BEATS * OUT_WORDS;
    localparam integer IW = IN_COUNT > 1 ? $clog2(IN_COUNT) : 1;
    localparam integer OW = OUT_COUNT > 1 ? $clog2(OUT_COUNT) : 1;
    // Waived: constants are 32 bits wide and known to fit.
    // verilator lint_off WIDTHTRUNC
    localparam [IW-1:0] LAST_IN = IN_COUNT - 1;
    localparam [OW-1:0] LAST_OUT = OUT_COUNT - 1;
    // verilator lint_on WIDTHTRUNC

    reg [IW-1:0] in_word;    // words of this inference that are in
    reg [OW-1:0] out_word;   // words of this result that are out
    reg closing;             // the batch has ended: nothing more is let in
    reg filling;             // it ended too early: zeros follow
    reg [15:0] held;         // inferences that are wholly in and not yet out

    wire word_ready;
    wire word_valid = !rst && (filling || (s_axis_tvalid && !closing));
    wire [IN_TDATA-1:0] word = filling ? {IN_TDATA{1'b0}} : s_axis_tdata;
    wire word_in = word_valid && word_ready;
    wire in_end = in_word == LAST_IN;
    wire entered = word_in && in_end;

    wire result_valid, result_ready;
    wire out_end = out_word == LAST_OUT;
    // The last word of a result waits for the rest of its inference, which may not matter to the network.
    wire hold = out_end && held == 0;
    wire word_out = m_axis_tvalid && m_axis_tready;
    wire left = word_out && out_end;

    assign s_axis_tready = word_ready && !closing && !rst; // nothing is taken that a reset would drop
    assign m_axis_tvalid = result_valid && !hold && !rst;
    assign m_axis_tlast = out_end && closing && !filling && held == 1;
    assign result_ready = m_axis_tready && !hold;

    always @(posedge clk) begin
        if (rst) begin
            in_word  <= 0;
            out_word <= 0;
            closing  <= 1'b0;
            filling  <= 1'b0;
            held   <= 16'd0;
        end else begin
            if (word_in) begin
                in_word <= in_end ? {IW{1'b0}} : in_word + 1'b1;
                if (filling) filling <= !in_end;
                else begin
                    closing <= s_axis_tlast;
                    filling <= s_axis_tlast && !in_end;
                end
            end
            if (word_out) out_word <= out_end ? {OW{1'b0}} : out_word + 1'b1;
            if (entered && !left) held <= held + 1'b1;
            if (left && !entered) held <= held - 1'b1;
            if (word_out && m_axis_tlast) closing <= 1'b0;
        end
    end

    // Waived: the bits of a lane beyond its width, and lanes beyond the last, go nowhere.
    // verilator lint_off UNUSEDSIGNAL
    wire [IN_TDATA*IN_WORDS-1:0] in_wide;
    // verilator lint_on UNUSEDSIGNAL
    wire [OUT_TDATA*OUT_WORDS-1:0] out_wide;
    wire [OUT_TDATA-1:0] result_word;
    assign m_axis_tdata = result_word;

    genvar i;
    generate
        for (i = 0; i < IN_LANES; i = i + 1) begin : in_lane
            assign in_data[i*IN_WIDTH+:IN_WIDTH] = in_wide[i*IN_LANE_BITS+:IN_WIDTH];
        end
        for (i = 0; i < OUT_LANES; i = i + 1) begin : out_lane
            assign out_wide[i*OUT_LANE_BITS+:OUT_WIDTH] = out_data[i*OUT_WIDTH+:OUT_WIDTH];
            if (OUT_LANE_BITS > OUT_WIDTH) begin : extend
                assign out_wide[i*OUT_LANE_BITS+OUT_WIDTH+:OUT_LANE_BITS-OUT_WIDTH] =
                    {(OUT_LANE_BITS - OUT_WIDTH){OUT_SIGNED != 0 && out_data[(i+1)*OUT_WIDTH-1]}};
            end
        end
        if (OUT_TDATA * OUT_WORDS > OUT_LANES * OUT_LANE_BITS) begin : out_rest
            assign out_wide[OUT_TDATA*OUT_WORDS-1:OUT_LANES*OUT_LANE_BITS] = 0;
        end
        if (IN_WORDS > 1) begin : in_words
            flow_widen #(.WIDTH(IN_TDATA), .RATIO(IN_WORDS)) widen (
                .clk(clk), .rst(rst), .in_valid(word_valid), .in_ready(word_ready), .in_data(word),
                .out_valid(in_valid), .out_ready(in_ready), .out_data(in_wide)
            );
        end else begin : in_word_only
            assign in_valid = word_valid;
            assign word_ready = in_ready;
            assign in_wide = word;
        end
        if (OUT_WORDS > 1) begin : out_words
            flow_narrow #(.WIDTH(OUT_TDATA), .RATIO(OUT_WORDS)) narrow (
                .clk(clk), .rst(rst), .in_valid(out_valid), .in_ready(out_ready), .in_data(out_wide),
                .out_valid(result_valid), .out_ready(result_ready), .out_data(result_word)
            );
        end else begin : out_word_only
            assign result_valid = out_valid;
            assign out_ready = result_ready;
            assign result_word = out_wide;
        end
    endgenerate
endmodule
`default_nettype wire
