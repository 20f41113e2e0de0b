    // Every proof starts with a reset; what comes later is free, further resets included.
    reg started = 1'b0;
    always @(posedge clk) started <= 1'b1;
    always @(*) if (!started) assume (rst);
    wire f_in = in_valid && in_ready && !rst;
    // The rule of the handshake, on the input assumed: what is offered stays until it is taken.
    reg f_offered = 1'b0;
    reg [$bits(in_data)-1:0] f_offer;
    always @(posedge clk) begin
        f_offered <= in_valid && !in_ready && !rst;
        f_offer <= in_data;
    end
    always @(*) if (f_offered) assume (in_valid && in_data == f_offer);
