// Window buffer: keeps the part of the image that windows still need, and reads every window out of it.
//
// Input: beats of LANES channels, pixel by pixel in raster order, CHANNEL_BEATS beats a pixel, WIDTH rows or columns
// as they come; frames follow each other without a gap. Output: for each window position in raster order, PASSES
// times the KERNEL_HEIGHT x KERNEL_WIDTH pixels, RUN consecutive beats of each; pass n starts PASS_STEP beats later
// in each pixel than pass n - 1. A convolution reads whole pixels in every pass (RUN = CHANNEL_BEATS, PASS_STEP = 0),
// what works channel by channel reads one beat of each (RUN = 1, PASS_STEP = 1, PASSES = CHANNEL_BEATS); a dense
// layer is a convolution over a single pixel. Positions in the padding are zeros, out_padding tells them apart.
//
// The buffer is a ring of DEPTH beats. `base` is the address of the window's first pixel, which may be a virtual one
// in the padding: `level` counts the beats written beyond it, so windows and writes need one comparison each. A
// window starts once NEED beats beyond its base are there, or the whole frame is, and then reads a beat a cycle.
// Latency: 3 cycles from the last beat a window needs to its first beat.
`default_nettype none
module flow_window #(
    parameter integer BITS = 8,            // bits of a beat
    parameter integer DEPTH = 64,          // beats the ring holds
    parameter integer HEIGHT = 8,          // of the image, in pixels
    parameter integer WIDTH = 8,           // of the image, in pixels
    parameter integer CHANNEL_BEATS = 1,   // beats a pixel
    parameter integer OUT_HEIGHT = 6,      // window positions
    parameter integer OUT_WIDTH = 6,
    parameter integer KERNEL_HEIGHT = 3,
    parameter integer KERNEL_WIDTH = 3,
    parameter integer STRIDE_HEIGHT = 1,
    parameter integer STRIDE_WIDTH = 1,
    parameter integer PAD_TOP = 0,         // pixels of padding above and left of the image
    parameter integer PAD_LEFT = 0,
    parameter integer PADDED = 0,          // 1 if there is padding on any side
    parameter integer PASSES = 1,
    parameter integer RUN = 1,
    parameter integer PASS_STEP = 0,
    parameter integer NEED = 19,           // beats beyond its base that a window needs
    parameter integer STEP_BITS = 4,       // width of out_step
    // Waived: only the synthesizer reads it, as an attribute.
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "auto"
    // verilator lint_on UNUSEDPARAM
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 in_valid,
    output wire                 in_ready,
    input  wire [BITS-1:0]      in_data,
    output reg                  out_valid,
    input  wire                 out_ready,
    output wire [BITS-1:0]      out_data,
    output reg                  out_first,   // first beat of a pass
    output reg                  out_last,    // last beat of a pass
    output wire                 out_padding, // the beat lies in the padding, out_data is zero
    output wire                 load,        // the next beat is read in this cycle: it belongs to ...
    output wire [STEP_BITS-1:0] out_step     // ... this number of the beats of its window position
);
    localparam integer FRAME = HEIGHT * WIDTH * CHANNEL_BEATS;
    localparam integer ROW = WIDTH * CHANNEL_BEATS;
    localparam integer STEPS = PASSES * KERNEL_HEIGHT * KERNEL_WIDTH * RUN;
    localparam integer AHEAD_MAX = DEPTH / FRAME + 1;
    // How far the base moves, in beats.
    localparam integer MOVE_X = STRIDE_WIDTH * CHANNEL_BEATS;
    localparam integer MOVE_Y = STRIDE_HEIGHT * ROW - (OUT_WIDTH - 1) * MOVE_X;
    localparam integer MOVE_FRAME = FRAME - (OUT_HEIGHT - 1) * STRIDE_HEIGHT * ROW - (OUT_WIDTH - 1) * MOVE_X;
    // How far the address moves after the run of a pixel, in beats.
    localparam integer JUMP_X = CHANNEL_BEATS - RUN + 1;
    localparam integer JUMP_Y = ROW - (KERNEL_WIDTH - 1) * CHANNEL_BEATS - RUN + 1;
    localparam integer BACK = (PASSES - 1) * PASS_STEP;

    localparam integer AW = DEPTH > 1 ? $clog2(DEPTH) : 1;
    localparam integer LW = $clog2(DEPTH + 1);
    localparam integer FW = FRAME > 1 ? $clog2(FRAME) : 1;
    localparam integer NW = $clog2(AHEAD_MAX + 1);
    localparam integer RW = RUN > 1 ? $clog2(RUN) : 1;
    localparam integer KXW = KERNEL_WIDTH > 1 ? $clog2(KERNEL_WIDTH) : 1;
    localparam integer KYW = KERNEL_HEIGHT > 1 ? $clog2(KERNEL_HEIGHT) : 1;
    localparam integer PW = PASSES > 1 ? $clog2(PASSES) : 1;
    localparam integer XW = OUT_WIDTH > 1 ? $clog2(OUT_WIDTH) : 1;
    localparam integer YW = OUT_HEIGHT > 1 ? $clog2(OUT_HEIGHT) : 1;

    // Waived: constants are 32 bits wide and fit the registers they are for by those registers' definition.
    // verilator lint_off WIDTHTRUNC
    localparam [AW-1:0] LAST_ADDRESS = DEPTH - 1;
    localparam [LW-1:0] FULL = DEPTH;
    localparam [LW-1:0] ENOUGH = NEED;
    localparam [FW-1:0] LAST_BEAT = FRAME - 1;
    localparam [RW-1:0] LAST_RUN = RUN - 1;
    localparam [KXW-1:0] LAST_KX = KERNEL_WIDTH - 1;
    localparam [KYW-1:0] LAST_KY = KERNEL_HEIGHT - 1;
    localparam [PW-1:0] LAST_PASS = PASSES - 1;
    localparam [XW-1:0] LAST_X = OUT_WIDTH - 1;
    localparam [YW-1:0] LAST_Y = OUT_HEIGHT - 1;
    localparam [STEP_BITS-1:0] LAST_STEP = STEPS - 1;
    localparam [LW-1:0] ALMOST_FULL = DEPTH - 1;
    localparam [LW-1:0] FREE_X = MOVE_X;
    localparam [LW-1:0] FREE_Y = MOVE_Y;
    localparam [LW-1:0] FREE_FRAME = MOVE_FRAME;
    // Levels at which there is enough for the next window, too.
    localparam [LW:0] ENOUGH_X = NEED + MOVE_X;
    localparam [LW:0] ENOUGH_Y = NEED + MOVE_Y;
    localparam [LW:0] ENOUGH_FRAME = NEED + MOVE_FRAME;
    localparam [XW-1:0] BEFORE_LAST_X = OUT_WIDTH > 1 ? OUT_WIDTH - 2 : 0;
    localparam [YW-1:0] BEFORE_LAST_Y = OUT_HEIGHT > 1 ? OUT_HEIGHT - 2 : 0;
    // Addresses move forward modulo DEPTH, also by what is negative.
    localparam [AW-1:0] FIRST_BASE = ((-(PAD_TOP * ROW + PAD_LEFT * CHANNEL_BEATS)) % DEPTH + DEPTH) % DEPTH;
    localparam [LW-1:0] FIRST_LEVEL = PAD_TOP * ROW + PAD_LEFT * CHANNEL_BEATS;
    localparam [AW-1:0] BASE_PASS = PASS_STEP % DEPTH;
    localparam [AW-1:0] BASE_X = ((MOVE_X - BACK) % DEPTH + DEPTH) % DEPTH;
    localparam [AW-1:0] BASE_Y = ((MOVE_Y - BACK) % DEPTH + DEPTH) % DEPTH;
    localparam [AW-1:0] BASE_FRAME = ((MOVE_FRAME - BACK) % DEPTH + DEPTH) % DEPTH;
    localparam [AW-1:0] ADDRESS_X = (JUMP_X % DEPTH + DEPTH) % DEPTH;
    localparam [AW-1:0] ADDRESS_Y = (JUMP_Y % DEPTH + DEPTH) % DEPTH;
    localparam [AW-1:0] ONE = 1 % DEPTH;
    // verilator lint_on WIDTHTRUNC
    localparam [AW:0] ROUND = {1'b0, LAST_ADDRESS} + 1'b1;

    // a + b modulo DEPTH, for a and b below it
    function [AW-1:0] moved(input [AW-1:0] a, input [AW-1:0] b);
        reg [AW:0] sum;
        begin
            sum = {1'b0, a} + {1'b0, b};
            moved = sum[AW-1:0] - (sum >= ROUND ? ROUND[AW-1:0] : {AW{1'b0}});
        end
    endfunction

    (* ram_style = RAM_STYLE *) reg [BITS-1:0] memory[0:DEPTH-1];

    // Write side

    reg [AW-1:0] write_address;
    reg [FW-1:0] write_count; // beats of the frame that is coming in
    reg [LW-1:0] level;       // beats written beyond the base
    reg [NW-1:0] ahead;       // frames written in whole, but not read in whole

    reg                 room;  // level != FULL

    wire write = in_valid && in_ready;
    wire write_frame = write && write_count == LAST_BEAT;

    assign in_ready = room;

    always @(posedge clk) begin
        if (rst) begin
            write_address <= 0;
            write_count   <= 0;
        end else if (write) begin
            write_address <= write_address == LAST_ADDRESS ? {AW{1'b0}} : write_address + 1'b1;
            write_count   <= write_frame ? {FW{1'b0}} : write_count + 1'b1;
        end
    end

    always @(posedge clk) if (write) memory[write_address] <= in_data;

    // Read side: counters, from the innermost to the outermost

    reg [RW-1:0]        run;
    reg [KXW-1:0]       kx;
    reg [KYW-1:0]       ky;
    reg [PW-1:0]        pass;
    reg [XW-1:0]        x;
    reg [YW-1:0]        y;
    reg [STEP_BITS-1:0] step;
    reg [AW-1:0]        base, address;

    wire end_run = run == LAST_RUN;
    wire end_kx = end_run && kx == LAST_KX;
    wire end_pass = end_kx && ky == LAST_KY;
    wire end_window = end_pass && pass == LAST_PASS;
    wire last_x = x == LAST_X;
    wire last_y = y == LAST_Y;
    wire start = step == 0;
    wire last_window = last_x && last_y;

    reg  ready; // a window may start
    wire issue = (!start || ready) && (!out_valid || out_ready);
    wire done = issue && end_window;
    wire done_frame = done && last_window;

    wire [LW-1:0] freed = last_window ? FREE_FRAME : last_x ? FREE_Y : FREE_X; // when it is done
    wire [AW-1:0] base_step = pass != LAST_PASS ? BASE_PASS : last_window ? BASE_FRAME : last_x ? BASE_Y : BASE_X;
    wire [AW-1:0] next_base = moved(base, base_step);

    assign load = issue;
    assign out_step = step;

    always @(posedge clk) begin
        if (rst) begin
            run <= 0;
            kx <= 0;
            ky <= 0;
            pass <= 0;
            x <= 0;
            y <= 0;
            step <= 0;
            base <= FIRST_BASE;
            address <= FIRST_BASE;
        end else if (issue) begin
            run <= end_run ? {RW{1'b0}} : run + 1'b1;
            if (end_run) kx <= end_kx ? {KXW{1'b0}} : kx + 1'b1;
            if (end_kx) ky <= end_pass ? {KYW{1'b0}} : ky + 1'b1;
            if (end_pass) pass <= end_window ? {PW{1'b0}} : pass + 1'b1;
            if (end_window) x <= last_x ? {XW{1'b0}} : x + 1'b1;
            if (end_window && last_x) y <= last_y ? {YW{1'b0}} : y + 1'b1;
            step <= step == LAST_STEP ? {STEP_BITS{1'b0}} : step + 1'b1;
            if (end_pass) base <= next_base;
            address <= end_pass ? next_base : moved(address, end_kx ? ADDRESS_Y : end_run ? ADDRESS_X : ONE);
        end
    end

    // What is known of the next cycle is looked at in this one, for both cases of `done`, which comes late.

    // The last window waits for the whole frame: its base moves beyond all of it.
    wire next_is_last = OUT_WIDTH * OUT_HEIGHT == 1
        || (OUT_WIDTH == 1 ? y == BEFORE_LAST_Y : last_y && x == BEFORE_LAST_X);
    // Waived: a single bit is added to wider counters.
    // verilator lint_off WIDTHEXPAND
    wire [LW:0] more = level + write;
    // verilator lint_on WIDTHEXPAND
    wire enough = more >= {1'b0, ENOUGH};
    wire enough_after = more >= (last_window ? ENOUGH_FRAME : last_x ? ENOUGH_Y : ENOUGH_X);
    wire frame_there = ahead != 0 || write_frame;
    wire another_there = write_frame || (ahead != 0 && ahead != 1);

    always @(posedge clk) begin
        if (rst) begin
            level <= FIRST_LEVEL;
            room  <= FIRST_LEVEL != FULL;
            ready <= FIRST_LEVEL >= ENOUGH && OUT_WIDTH * OUT_HEIGHT > 1;
            ahead <= 0;
        end else begin
            level <= done ? more[LW-1:0] - freed : more[LW-1:0];
            room <= done || (write ? level != ALMOST_FULL : room);
            ready <= done
                ? (enough_after && !next_is_last) || (done_frame ? another_there : frame_there)
                : (enough && !last_window) || frame_there;
            // Waived: as above.
            // verilator lint_off WIDTHEXPAND
            ahead <= ahead + write_frame - done_frame;
            // verilator lint_on WIDTHEXPAND
        end
    end

    // Output register. Padding is the reset of the data's registers, which costs nothing.

    reg [BITS-1:0] data;
    wire outside; // the pixel that is read now lies in the padding

    assign out_data = data;

    always @(posedge clk) begin
        if (rst) out_valid <= 1'b0;
        else if (issue) out_valid <= 1'b1;
        else if (out_ready) out_valid <= 1'b0;
    end

    always @(posedge clk) begin
        if (issue) begin
            data <= outside ? {BITS{1'b0}} : memory[address];
            out_first <= run == 0 && kx == 0 && ky == 0;
            out_last <= end_pass;
        end
    end

    // Padding: the coordinates of the pixel, outside the image (or below zero, which reads as large) there is none

    generate
        if (PADDED != 0) begin : padding
            localparam integer CX = $clog2(WIDTH + 2 * KERNEL_WIDTH) + 1;
            localparam integer CY = $clog2(HEIGHT + 2 * KERNEL_HEIGHT) + 1;
            // Waived: as above.
            // verilator lint_off WIDTHTRUNC
            localparam [CX-1:0] LEFT = -PAD_LEFT;
            localparam [CY-1:0] TOP = -PAD_TOP;
            localparam [CX-1:0] STRIDE_X = STRIDE_WIDTH;
            localparam [CY-1:0] STRIDE_Y = STRIDE_HEIGHT;
            localparam [CX-1:0] WIDE = WIDTH;
            localparam [CY-1:0] HIGH = HEIGHT;
            // verilator lint_on WIDTHTRUNC
            reg [CX-1:0] left;
            reg [CY-1:0] top;
            reg [CX-1:0] column; // left + kx
            reg [CY-1:0] line;   // top + ky
            reg          was_outside;
            wire [CX-1:0] next_left = last_x ? LEFT : left + STRIDE_X;
            wire [CY-1:0] next_top = !last_x ? top : last_y ? TOP : top + STRIDE_Y;
            always @(posedge clk) begin
                if (rst) begin
                    left <= LEFT;
                    top <= TOP;
                    column <= LEFT;
                    line <= TOP;
                end else if (issue) begin
                    if (end_window) begin
                        left <= next_left;
                        top <= next_top;
                    end
                    if (end_run) column <= end_window ? next_left : end_kx ? left : column + 1'b1;
                    if (end_kx) line <= end_window ? next_top : end_pass ? top : line + 1'b1;
                end
            end
            assign outside = column >= WIDE || line >= HIGH;
            always @(posedge clk) if (issue) was_outside <= outside;
            assign out_padding = was_outside;
        end else begin : no_padding
            assign outside = 1'b0;
            assign out_padding = 1'b0;
        end
    endgenerate
endmodule
`default_nettype wire
