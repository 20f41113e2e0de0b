`include "common.vh"
`include "one_output.vh"
    // RATIO in, one out, the first lowest.
    reg [31:0] f_parts; // parts of the beat that is being gathered
    reg [WIDTH*RATIO-1:0] f_gathered, f_whole;
    reg f_full;
    always @(posedge clk) begin
        if (rst) begin
            f_parts <= 0;
            f_full <= 1'b0;
        end else begin
            if (f_out) assert (f_full); // nothing twice
            if (f_out) f_full <= 1'b0;
            if (f_in) begin
                f_gathered <= {in_data, f_gathered[WIDTH*RATIO-1:WIDTH]};
                f_parts <= f_parts == RATIO - 1 ? 0 : f_parts + 1;
                if (f_parts == RATIO - 1) begin
                    assert (!f_full || f_out); // nothing lost
                    f_full <= 1'b1;
                    f_whole <= {in_data, f_gathered[WIDTH*RATIO-1:WIDTH]};
                end
            end
        end
    end
    wire [31:0] f_garbage = WIDTH * (RATIO - (f_full ? RATIO : f_parts)); // low bits of what has not come yet
    always @(*) if (started) begin
        assert (f_parts == count && count < RATIO);
        assert (out_valid == f_full);
        if (f_full) assert (f_parts == 0 && out_data == f_whole);
        assert (out_data >> f_garbage == f_gathered >> f_garbage);
        // No deadlock: it refuses only while a whole beat waits.
        if (!f_full) assert (in_ready);
    end
