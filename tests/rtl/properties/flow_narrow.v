`include "common.vh"
`include "one_output.vh"
    // What is left of the last beat taken: one in, RATIO out, in order.
    reg [CW-1:0] f_left;
    reg [WIDTH*RATIO-1:0] f_beat;
    wire [31:0] f_index = RATIO - f_left;
    always @(posedge clk) begin
        if (rst) f_left <= 0;
        else begin
            if (f_out) assert (f_left != 0); // nothing twice
            f_left <= f_in ? RATIO : f_left - f_out;
            if (f_in) begin
                assert (f_left == f_out); // nothing lost
                f_beat <= in_data;
            end
        end
    end
    wire [WIDTH*RATIO-1:0] f_rest = f_beat >> (WIDTH * f_index);
    always @(*) if (started) begin
        assert (f_left == left && left <= RATIO);
        assert (some == (left != 0) && one == (left == 1));
        if (f_left != 0) assert (parts == f_rest);
        if (out_valid) assert (out_data == f_rest[WIDTH-1:0]);
        // No deadlock: what is left is offered, and if nothing is, the next beat is taken.
        assert (out_valid == (f_left != 0));
        if (f_left == 0) assert (in_ready);
    end
