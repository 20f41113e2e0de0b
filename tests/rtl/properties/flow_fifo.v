`include "common.vh"
`include "one_output.vh"
    // Nothing lost, nothing twice: what went in and did not come out is inside.
    reg [LW:0] f_inside;
    always @(posedge clk) f_inside <= rst ? 0 : f_inside + f_in - f_out;
    always @(*) if (started) assert (f_inside == level + out_valid);
    always @(*) if (started) assert (level <= DEPTH);

    // Order and content: any one beat, chosen freely, comes out with its value when those before it have.
    (* anyseq *) reg f_choose;
    reg f_tracked;
    reg [LW:0] f_before;
    reg [WIDTH-1:0] f_value;
    always @(posedge clk) begin
        if (rst) f_tracked <= 1'b0;
        else if (f_tracked) begin
            if (f_out && f_before == 0) f_tracked <= 1'b0;
            if (f_out) f_before <= f_before - 1'b1;
        end else if (f_in && f_choose) begin
            f_tracked <= 1'b1;
            f_before <= f_inside - f_out;
            f_value <= in_data;
        end
    end
    always @(*) if (started && f_tracked && f_before == 0 && out_valid) assert (out_data == f_value);

    // What makes it inductive: addresses fit the level, and the chosen beat lies where it should.
    wire [31:0] f_end = read_address + level;
    wire [31:0] f_place = read_address + f_before - out_valid;
    always @(*) if (started) begin
        assert (read_address < DEPTH && write_address < DEPTH);
        assert (write_address == (f_end >= DEPTH ? f_end - DEPTH : f_end));
        if (f_tracked) assert (f_before < f_inside);
        if (f_tracked && !(f_before == 0 && out_valid))
            assert (memory[f_place >= DEPTH ? f_place - DEPTH : f_place] == f_value);
    end

    // No deadlock: an empty output is filled in the next cycle, and only a full memory refuses.
    reg f_due = 1'b0;
    always @(posedge clk) f_due <= level != 0 && !rst;
    always @(*) if (f_due) assert (out_valid);
    always @(*) if (started && !in_ready) assert (out_valid || level == DEPTH);
