# Logic synthesis of HLS's Verilog out of context: what the logic of one block takes, without pins and without a shell.
#
#   vivado -mode batch -source ooc_synth.tcl -tclargs TOP PART PERIOD_NS VERILOG_DIR OUT_DIR
#
# Writes OUT_DIR/utilization.rpt and OUT_DIR/timing.rpt. Any error ends with status 1.

if {[llength $argv] != 5} {
    puts "ERROR: ooc_synth.tcl needs TOP PART PERIOD_NS VERILOG_DIR OUT_DIR, got [llength $argv] arguments"
    exit 1
}
lassign $argv top part period verilog out
file mkdir $out

create_project -in_memory -part $part
if {[llength [glob -nocomplain -directory $verilog *.v]] == 0} {
    puts "ERROR: no Verilog in $verilog"
    exit 1
}
# The whole folder: beside the Verilog it has the contents of ROMs (weights, tables) that the Verilog reads.
add_files $verilog
# Cores that HLS wants instantiated, such as floating point units.
foreach core [lsort [glob -nocomplain -directory $verilog *_ip.tcl]] {
    source $core
}

# HLS calls its clock ap_clk. Without the constraint there would be no slack to report.
set constraints [file join $out clock.xdc]
set file [open $constraints w]
puts $file "create_clock -name ap_clk -period $period \[get_ports ap_clk\]"
close $file
read_xdc -mode out_of_context $constraints

synth_design -mode out_of_context -top $top -part $part
# The steps hls4ml's own script uses, so that numbers compare with published ones.
opt_design -retarget -propconst -sweep -bram_power_opt -shift_register_opt
report_utilization -file [file join $out utilization.rpt]
report_timing_summary -file [file join $out timing.rpt]
exit 0
