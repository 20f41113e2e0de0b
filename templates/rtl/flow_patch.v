// Sliding window: all pixels of every window at once, one window position a cycle, for layers without a loop.
//
// Input: pixels with all their channels in raster order, frames without a gap. A slot is a cycle in which the image
// moves on by a pixel; behind a frame come SLOTS - HEIGHT * WIDTH slots without one, for windows that reach beyond its
// end. Rows above the newest one wait in a memory of WIDTH words, the pixels of the window in registers. Pixel (y, x)
// of the window is at bits (y * KERNEL_WIDTH + x) * BITS of out_data; what lies in the padding is zero. FIRST is the
// slot in which the first window is complete, then they follow GAP_X, GAP_Y (next row) and GAP_FRAME slots apart.
// Moves while `enable` is high; latency 1 cycle from the last pixel of a window.
`default_nettype none
module flow_patch #(
    parameter integer BITS = 8,            // bits of a pixel
    parameter integer HEIGHT = 8,          // of the image, in pixels
    parameter integer WIDTH = 8,
    parameter integer OUT_HEIGHT = 6,      // window positions
    parameter integer OUT_WIDTH = 6,
    parameter integer KERNEL_HEIGHT = 3,
    parameter integer KERNEL_WIDTH = 3,
    parameter integer STRIDE_HEIGHT = 1,
    parameter integer STRIDE_WIDTH = 1,
    parameter integer PAD_TOP = 0,         // pixels of padding above and left of the image
    parameter integer PAD_LEFT = 0,
    parameter integer PADDED = 0,          // 1 if there is padding on any side
    parameter integer SLOTS = 64,
    parameter integer FIRST = 18,
    parameter integer GAP_X = 1,
    parameter integer GAP_Y = 3,
    parameter integer GAP_FRAME = 19,
    // Waived: only the synthesizer reads it, as an attribute.
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "auto"
    // verilator lint_on UNUSEDPARAM
) (
    input  wire                                     clk,
    input  wire                                     rst,
    input  wire                                     enable,
    input  wire                                     in_valid,
    output wire                                     in_ready,
    input  wire [BITS-1:0]                          in_data,
    output reg                                      out_valid,
    output wire [KERNEL_HEIGHT*KERNEL_WIDTH*BITS-1:0] out_data
);
    localparam integer PIXELS = HEIGHT * WIDTH;
    localparam integer MOST = GAP_FRAME > FIRST + 1 ? GAP_FRAME : FIRST + 1;
    localparam integer GAP = GAP_X > GAP_Y ? GAP_X : GAP_Y;
    localparam integer LONGEST = GAP > MOST ? GAP : MOST;
    localparam integer SW = SLOTS > 1 ? $clog2(SLOTS) : 1;
    localparam integer GW = LONGEST > 1 ? $clog2(LONGEST) : 1;
    localparam integer XW = OUT_WIDTH > 1 ? $clog2(OUT_WIDTH) : 1;
    localparam integer YW = OUT_HEIGHT > 1 ? $clog2(OUT_HEIGHT) : 1;
    // Waived: constants are 32 bits wide and fit the registers they are for by those registers' definition.
    // verilator lint_off WIDTHTRUNC
    localparam [SW-1:0] LAST_SLOT = SLOTS - 1;
    localparam [SW-1:0] LAST_PIXEL = PIXELS - 1;
    localparam [GW-1:0] WAIT_FIRST = FIRST;
    localparam [GW-1:0] WAIT_X = GAP_X - 1;
    localparam [GW-1:0] WAIT_Y = GAP_Y - 1;
    localparam [GW-1:0] WAIT_FRAME = GAP_FRAME - 1;
    localparam [XW-1:0] LAST_X = OUT_WIDTH - 1;
    localparam [YW-1:0] LAST_Y = OUT_HEIGHT - 1;
    // verilator lint_on WIDTHTRUNC

    // When the image moves, and when a window is complete

    reg [GW-1:0] waiting; // slots before the next window is complete
    reg [XW-1:0] x;       // its position
    reg [YW-1:0] y;
    wire behind;          // this slot has no pixel
    wire move = enable && (behind || in_valid);
    wire complete = waiting == 0;
    wire last_x = x == LAST_X;
    wire last_y = y == LAST_Y;

    assign in_ready = enable && !behind;

    always @(posedge clk) begin
        if (rst) begin
            waiting <= WAIT_FIRST;
            x <= 0;
            y <= 0;
            out_valid <= 1'b0;
        end else if (enable) begin
            out_valid <= move && complete;
            if (move && !complete) waiting <= waiting - 1'b1;
            if (move && complete) begin
                waiting <= !last_x ? WAIT_X : last_y ? WAIT_FRAME : WAIT_Y;
                x <= last_x ? {XW{1'b0}} : x + 1'b1;
                if (last_x) y <= last_y ? {YW{1'b0}} : y + 1'b1;
            end
        end
    end

    generate
        if (SLOTS > PIXELS) begin : slots_behind
            reg [SW-1:0] slot;
            assign behind = slot > LAST_PIXEL;
            always @(posedge clk) begin
                if (rst) slot <= 0;
                else if (move) slot <= slot == LAST_SLOT ? {SW{1'b0}} : slot + 1'b1;
            end
        end else begin : no_slots_behind
            assign behind = 1'b0;
        end
    endgenerate

    // The newest pixel of each row of the window

    wire [KERNEL_HEIGHT*BITS-1:0] newest;
    assign newest[(KERNEL_HEIGHT-1)*BITS+:BITS] = in_data;

    generate
        if (KERNEL_HEIGHT > 1) begin : rows
            localparam integer WORD = (KERNEL_HEIGHT - 1) * BITS;
            reg  [WORD-1:0] above; // what was written WIDTH slots ago
            wire [WORD-1:0] written = newest[KERNEL_HEIGHT*BITS-1:BITS];
            assign newest[WORD-1:0] = above;
            if (WIDTH == 1) begin : one_column
                always @(posedge clk) if (move) above <= written;
            end else begin : columns
                localparam integer AW = $clog2(WIDTH);
                // Waived: as above.
                // verilator lint_off WIDTHTRUNC
                localparam [AW-1:0] LAST = WIDTH - 1;
                // verilator lint_on WIDTHTRUNC
                (* ram_style = RAM_STYLE *) reg [WORD-1:0] memory[0:WIDTH-1];
                reg [AW-1:0] address;
                wire [AW-1:0] next = address == LAST ? {AW{1'b0}} : address + 1'b1;
                always @(posedge clk) begin
                    if (rst) address <= 0;
                    else if (move) address <= next;
                end
                always @(posedge clk) begin
                    if (move) begin
                        memory[address] <= written;
                        above <= memory[next];
                    end
                end
            end
        end
    endgenerate

    // The window

    reg [KERNEL_HEIGHT*KERNEL_WIDTH*BITS-1:0] pixels;

    genvar r, c;
    generate
        for (r = 0; r < KERNEL_HEIGHT; r = r + 1) begin : each_row
            always @(posedge clk)
                if (move) pixels[((r+1)*KERNEL_WIDTH-1)*BITS+:BITS] <= newest[r*BITS+:BITS];
            for (c = 0; c < KERNEL_WIDTH - 1; c = c + 1) begin : each_column
                always @(posedge clk)
                    if (move)
                        pixels[(r*KERNEL_WIDTH+c)*BITS+:BITS] <= pixels[(r*KERNEL_WIDTH+c+1)*BITS+:BITS];
            end
        end

        if (PADDED != 0) begin : padding
            localparam integer CX = $clog2(WIDTH + 2 * KERNEL_WIDTH) + 1;
            localparam integer CY = $clog2(HEIGHT + 2 * KERNEL_HEIGHT) + 1;
            // Waived: as above.
            // verilator lint_off WIDTHTRUNC
            localparam [CX-1:0] LEFT = -PAD_LEFT;
            localparam [CY-1:0] TOP = -PAD_TOP;
            localparam [CX-1:0] STEP_X = STRIDE_WIDTH;
            localparam [CY-1:0] STEP_Y = STRIDE_HEIGHT;
            localparam [CX-1:0] WIDE = WIDTH;
            localparam [CY-1:0] HIGH = HEIGHT;
            // verilator lint_on WIDTHTRUNC
            reg [CX-1:0] left; // of the next window; below zero reads as large
            reg [CY-1:0] top;
            reg [KERNEL_WIDTH-1:0] in_columns;
            reg [KERNEL_HEIGHT-1:0] in_rows;
            always @(posedge clk) begin
                if (rst) begin
                    left <= LEFT;
                    top <= TOP;
                end else if (move && complete) begin
                    left <= last_x ? LEFT : left + STEP_X;
                    if (last_x) top <= last_y ? TOP : top + STEP_Y;
                end
            end
            for (c = 0; c < KERNEL_WIDTH; c = c + 1) begin : each_column
                localparam [CX-1:0] OFFSET = c;
                wire [CX-1:0] column = left + OFFSET;
                always @(posedge clk) if (move) in_columns[c] <= column < WIDE;
            end
            for (r = 0; r < KERNEL_HEIGHT; r = r + 1) begin : each_line
                localparam [CY-1:0] OFFSET = r;
                wire [CY-1:0] line = top + OFFSET;
                always @(posedge clk) if (move) in_rows[r] <= line < HIGH;
                for (c = 0; c < KERNEL_WIDTH; c = c + 1) begin : each_pixel
                    assign out_data[(r*KERNEL_WIDTH+c)*BITS+:BITS]
                        = pixels[(r*KERNEL_WIDTH+c)*BITS+:BITS] & {BITS{in_rows[r] && in_columns[c]}};
                end
            end
        end else begin : no_padding
            assign out_data = pixels;
        end
    endgenerate
endmodule
`default_nettype wire
