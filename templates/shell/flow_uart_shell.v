// Feeds an accelerator through a UART: one frame in, one frame out. docs/uart-protocol.md describes the frames.
//
// Nothing reaches the accelerator that is not a whole frame with a right checksum and the right length; everything
// else is answered with an error. The next frame is received while the reply to the one before is being sent.
//
// IN_BYTES, OUT_BYTES: bytes of an inference's input and output, whole beats of IN_BEAT_BYTES and OUT_BEAT_BYTES,
// each beat little endian with its IN_BITS or OUT_BITS lowest. ID: what the design is, for the host to compare.
`default_nettype none
module flow_uart_shell #(
    parameter integer CLOCKS_PER_BIT = 100,
    parameter integer IN_BYTES = 16,
    parameter integer IN_BEAT_BYTES = 1,
    parameter integer IN_BITS = 8,
    parameter integer OUT_BYTES = 10,
    parameter integer OUT_BEAT_BYTES = 1,
    parameter integer OUT_BITS = 8,
    parameter [63:0] ID = 64'd0
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                uart_rx,
    output wire                uart_tx,
    // To and from the accelerator.
    output wire                in_valid,
    input  wire                in_ready,
    output wire [IN_BITS-1:0]  in_data,
    input  wire                out_valid,
    output wire                out_ready,
    input  wire [OUT_BITS-1:0] out_data
);
    localparam [7:0] INFER = 8'h01, INFO = 8'h02;
    localparam [7:0] IS_RESULT = 8'h81, IS_INFO = 8'h82, IS_ERROR = 8'hee;
    localparam [7:0] BAD_LINE = 8'd1, BAD_LENGTH = 8'd2, BAD_CHECKSUM = 8'd3, BAD_KIND = 8'd4, OVERRUN = 8'd5;
    localparam [7:0] VERSION = 8'd1;
    localparam integer FRAME = IN_BYTES + 4; // kind, number, input, two bytes of checksum
    localparam integer NW = $clog2(FRAME + 2);
    localparam integer AW = IN_BYTES > 1 ? $clog2(IN_BYTES) : 1;
    localparam integer INFO_BYTES = 17;
    localparam integer OW = $clog2((OUT_BYTES > INFO_BYTES ? OUT_BYTES : INFO_BYTES) + 1);
    localparam integer BW = $clog2(IN_BEAT_BYTES + 1);
    localparam integer SW = $clog2(OUT_BEAT_BYTES + 1);
    // Waived: constants are 32 bits wide and known to fit.
    // verilator lint_off WIDTHTRUNC
    localparam [NW-1:0] WHOLE = FRAME, TOO_LONG = FRAME + 1;
    localparam [AW-1:0] LAST_BYTE = IN_BYTES - 1;
    localparam [BW-1:0] LAST_OF_BEAT = IN_BEAT_BYTES - 1;
    localparam [OW-1:0] LAST_OUT = OUT_BYTES - 1, LAST_INFO = INFO_BYTES - 1;
    localparam [SW-1:0] OUT_BEAT = OUT_BEAT_BYTES;
    // verilator lint_on WIDTHTRUNC
    localparam [31:0] IN_COUNT = IN_BYTES, OUT_COUNT = OUT_BYTES;

    // Receiving

    wire rx_valid, rx_error, byte_valid, ended, good, broken;
    wire [7:0] rx_data, byte_data;
    flow_uart_rx #(.CLOCKS_PER_BIT(CLOCKS_PER_BIT)) receiver (
        .clk(clk), .rst(rst), .rx(uart_rx), .valid(rx_valid), .error(rx_error), .data(rx_data)
    );
    flow_frame_rx unframe (
        .clk(clk), .rst(rst), .in_valid(rx_valid), .in_error(rx_error), .in_data(rx_data),
        .valid(byte_valid), .data(byte_data), .ended(ended), .good(good), .broken(broken)
    );

    reg [NW-1:0] count; // bytes of this frame so far; stays at TOO_LONG
    reg [7:0] kind, number;
    reg spoiled; // a byte of this frame found the buffer in use
    reg feeding;
    reg [AW-1:0] write_address;
    wire is_input = count >= 2 && count < WHOLE - 2;
    wire write = byte_valid && is_input && kind == INFER && !feeding;

    always @(posedge clk) begin
        if (rst || ended) begin
            count         <= 0;
            kind          <= 8'd0;
            number        <= 8'd0;
            spoiled       <= 1'b0;
            write_address <= 0;
        end else if (byte_valid) begin
            if (count != TOO_LONG) count <= count + 1'b1;
            if (count == 0) kind <= byte_data;
            if (count == 1) number <= byte_data;
            if (is_input && kind == INFER && feeding) spoiled <= 1'b1;
            if (write) write_address <= write_address == LAST_BYTE ? {AW{1'b0}} : write_address + 1'b1;
        end
    end

    // What a frame that has ended is

    wire is_infer = kind == INFER, is_info = kind == INFO;
    wire right_length = is_infer ? count == WHOLE : count == 4;
    wire [7:0] wrong = broken ? BAD_LINE : count < 4 ? BAD_LENGTH : !good ? BAD_CHECKSUM
        : !is_infer && !is_info ? BAD_KIND : !right_length ? BAD_LENGTH : spoiled ? OVERRUN : 8'd0;
    wire fine = wrong == 8'd0;

    // One reply can wait while another is being sent; a frame beyond that is lost, and its number reported.

    reg waiting, lost;
    reg [7:0] waiting_kind, waiting_number, waiting_code, lost_number;
    wire take; // the reply that waits is being sent from now on
    wire room = !waiting;
    wire accept = ended && room && fine && is_infer;

    always @(posedge clk) begin
        if (rst) begin
            waiting <= 1'b0;
            lost    <= 1'b0;
        end else if (waiting) begin
            if (take) waiting <= 1'b0;
            if (ended) begin
                lost        <= 1'b1;
                lost_number <= number;
            end
        end else if (ended) begin
            waiting        <= 1'b1;
            waiting_kind   <= !fine ? IS_ERROR : is_infer ? IS_RESULT : IS_INFO;
            waiting_number <= number;
            waiting_code   <= wrong;
        end else if (lost) begin
            lost           <= 1'b0;
            waiting        <= 1'b1;
            waiting_kind   <= IS_ERROR;
            waiting_number <= lost_number;
            waiting_code   <= OVERRUN;
        end
    end

    // Feeding the accelerator from the buffer

    localparam [1:0] READ = 2'd0, SHIFT = 2'd1, OFFER = 2'd2;
    reg [7:0] memory[0:IN_BYTES-1];
    reg [7:0] read_data;
    reg [AW-1:0] read_address;
    reg [1:0] step;
    reg [BW-1:0] beat_bytes;
    reg last;
    // Waived: the highest bits of a beat's last byte, and what is shifted out, go nowhere.
    // verilator lint_off UNUSEDSIGNAL
    reg [8*IN_BEAT_BYTES-1:0] beat;
    wire [8*IN_BEAT_BYTES+7:0] shifted = {read_data, beat};
    // verilator lint_on UNUSEDSIGNAL

    always @(posedge clk) begin
        if (write) memory[write_address] <= byte_data;
        read_data <= memory[read_address];
    end

    assign in_valid = feeding && step == OFFER;
    assign in_data = beat[IN_BITS-1:0];

    always @(posedge clk) begin
        if (rst) feeding <= 1'b0;
        else if (!feeding) begin
            feeding      <= accept;
            step         <= READ;
            read_address <= 0;
            beat_bytes   <= 0;
        end else
            case (step)
                READ: step <= SHIFT;
                SHIFT: begin
                    beat         <= shifted[8*IN_BEAT_BYTES+7:8];
                    beat_bytes   <= beat_bytes == LAST_OF_BEAT ? {BW{1'b0}} : beat_bytes + 1'b1;
                    last         <= read_address == LAST_BYTE;
                    read_address <= read_address + 1'b1;
                    step         <= beat_bytes == LAST_OF_BEAT ? OFFER : READ;
                end
                default:
                    if (in_ready) begin
                        feeding <= !last;
                        step    <= READ;
                    end
            endcase
    end

    // Sending

    localparam [1:0] IDLE = 2'd0, KIND = 2'd1, NUMBER = 2'd2, PAYLOAD = 2'd3;
    reg [1:0] sending;
    reg [7:0] reply_kind, reply_number, reply_code;
    reg [OW-1:0] sent;
    reg [8*OUT_BEAT_BYTES-1:0] out_beat;
    reg [SW-1:0] out_left; // bytes of out_beat that are still to be sent
    // Waived: what is shifted out goes nowhere.
    // verilator lint_off UNUSEDSIGNAL
    wire [8*OUT_BEAT_BYTES+7:0] out_shifted = {8'h00, out_beat};
    // verilator lint_on UNUSEDSIGNAL
    // Waived: the register is as wide as whole bytes, the stream may be narrower.
    // verilator lint_off WIDTHEXPAND
    wire [8*OUT_BEAT_BYTES-1:0] out_wide = out_data;
    // verilator lint_on WIDTHEXPAND

    localparam [8*INFO_BYTES-1:0] ABOUT = {ID, OUT_COUNT, IN_COUNT, VERSION};
    wire [7:0] about = ABOUT[8*sent[4:0]+:8];
    wire is_result = reply_kind == IS_RESULT;
    wire payload_there = !is_result || out_left != 0;
    wire payload_last = is_result ? sent == LAST_OUT : reply_kind == IS_INFO ? sent == LAST_INFO : 1'b1;
    wire [7:0] payload = is_result ? out_beat[7:0] : reply_kind == IS_INFO ? about : reply_code;

    wire frame_ready;
    wire frame_valid = sending == KIND || sending == NUMBER || (sending == PAYLOAD && payload_there);
    wire [7:0] frame_data = sending == KIND ? reply_kind : sending == NUMBER ? reply_number : payload;
    wire moved = frame_valid && frame_ready;

    assign take = waiting && sending == IDLE;
    assign out_ready = sending == PAYLOAD && is_result && out_left == 0;

    always @(posedge clk) begin
        if (rst) begin
            sending  <= IDLE;
            out_left <= 0;
        end else
            case (sending)
                IDLE: begin
                    if (waiting) sending <= KIND;
                    reply_kind   <= waiting_kind;
                    reply_number <= waiting_number;
                    reply_code   <= waiting_code;
                    sent         <= 0;
                end
                KIND: if (moved) sending <= NUMBER;
                NUMBER: if (moved) sending <= PAYLOAD;
                default: begin
                    if (out_valid && out_ready) begin
                        out_beat <= out_wide;
                        out_left <= OUT_BEAT;
                    end
                    if (moved) begin
                        sent <= sent + 1'b1;
                        if (is_result) begin
                            out_beat <= out_shifted[8*OUT_BEAT_BYTES+7:8];
                            out_left <= out_left - 1'b1;
                        end
                        if (payload_last) sending <= IDLE;
                    end
                end
            endcase
    end

    wire tx_valid, tx_ready;
    wire [7:0] tx_data;
    flow_frame_tx frame (
        .clk(clk), .rst(rst), .in_valid(frame_valid), .in_ready(frame_ready),
        .in_last(sending == PAYLOAD && payload_last), .in_data(frame_data),
        .out_valid(tx_valid), .out_ready(tx_ready), .out_data(tx_data)
    );
    flow_uart_tx #(.CLOCKS_PER_BIT(CLOCKS_PER_BIT)) transmitter (
        .clk(clk), .rst(rst), .valid(tx_valid), .ready(tx_ready), .data(tx_data), .tx(uart_tx)
    );
endmodule
`default_nettype wire
