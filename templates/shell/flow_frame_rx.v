// Finds frames in a stream of bytes: flags 0x7e around them, 0x7d before a byte that was changed (xor 0x20).
//
// Bytes before the first flag are ignored; between flags nothing is. A frame ends at the next flag whatever is in it,
// so after any garbage the frame behind the next flag is read again.
`default_nettype none
module flow_frame_rx (
    input  wire       clk,
    input  wire       rst,
    input  wire       in_valid,
    input  wire       in_error, // a byte was broken on the line
    input  wire [7:0] in_data,
    output reg        valid,    // one cycle: data is the next byte of the frame, its checksum included
    output reg  [7:0] data,
    output reg        ended,    // one cycle: a frame that is not empty has ended; good and broken are about it
    output reg        good,     // its checksum is right
    output reg        broken    // a byte was lost on the line, or the frame ends within an escape
);
    reg synced, some, escaped, bad;
    reg [15:0] crc;

    // CRC-16 with polynomial 0x1021, highest bit first: 0 behind a frame with its checksum.
    function [15:0] next_crc(input [15:0] old, input [7:0] value);
        integer i;
        begin
            next_crc = old ^ {value, 8'h00};
            for (i = 0; i < 8; i = i + 1)
                next_crc = next_crc[15] ? {next_crc[14:0], 1'b0} ^ 16'h1021 : {next_crc[14:0], 1'b0};
        end
    endfunction

    wire flag = in_data == 8'h7e;
    wire escape = in_data == 8'h7d;
    wire [7:0] plain = escaped ? in_data ^ 8'h20 : in_data;

    always @(posedge clk) begin
        valid <= 1'b0;
        ended <= 1'b0;
        if (rst) begin
            synced  <= 1'b0;
            some    <= 1'b0;
            escaped <= 1'b0;
            bad     <= 1'b0;
            crc     <= 16'hffff;
        end else if (in_valid && flag) begin
            ended   <= synced && some;
            good    <= crc == 16'h0000;
            broken  <= bad || escaped;
            synced  <= 1'b1;
            some    <= 1'b0;
            escaped <= 1'b0;
            bad     <= 1'b0;
            crc     <= 16'hffff;
        end else if (in_error) begin
            bad  <= 1'b1;
            some <= 1'b1;
        end else if (in_valid) begin
            some    <= 1'b1;
            escaped <= escape && !escaped;
            if (!escape || escaped) begin
                valid <= synced;
                data  <= plain;
                crc   <= next_crc(crc, plain);
            end
        end
    end
endmodule
`default_nettype wire
