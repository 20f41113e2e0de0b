# The vendor's Tcl commands, stubbed: what they need must be there and called in order; what they make is written by
# step.py. Arguments: the user's script, then its arguments.

namespace eval fake {
    variable kind $::env(FAKE_KIND)
    variable project "" solution "" top "" part "" period "" uncertainty 0 files {} synthesized 0 sources {} state ""

    proc fail {message} {
        puts "ERROR: $message"
        flush stdout
        return -code error -level 2 $message
    }
    proc need {value what command} {
        if {$value eq ""} {
            puts "ERROR: \[HLS 200-101\] '$command': $what first"
            flush stdout
            return -code error -level 2 "$command: $what first"
        }
    }
    # Writes the reports of one command, or fails in the way that was asked for.
    proc step {args} {
        flush stdout
        # A part or board is missing only if that was asked for: no need to start a Python each time.
        if {[lindex $args 0] in {part board} && ![string match *_missing* $::env(FAKE_TOOL_MODE)]} { return }
        if {[catch {exec $::env(FAKE_PYTHON) -S -m fake_vendor.step {*}$args >@ stdout 2>@ stderr} message options]} {
            # Status 3: the tool ends here with status 0, as some real ones do after a crash.
            if {[lindex [dict get $options -errorcode] 2] == 3} { exit 0 }
            return -code error -level 2 "command 'ap_source' returned error code"
        }
    }
    # The value after -name in a list of options.
    proc option {options name {default ""}} {
        set at [lsearch -exact $options $name]
        return [expr {$at < 0 ? $default : [lindex $options [expr {$at + 1}]]}]
    }
    proc folder {} {
        variable project
        variable solution
        return [file join [pwd] $project $solution]
    }
    proc uncertainty_ns {} {
        variable period
        variable uncertainty
        if {[string match "*%" $uncertainty]} {
            return [expr {$period * [string trimright $uncertainty %] / 100.0}]
        }
        return $uncertainty
    }
}

proc open_project {args} {
    set name [lindex $args end]
    if {"-reset" in $args} { file delete -force $name }
    file mkdir $name
    set fake::project $name
    set app [open [file join $name [expr {$fake::kind eq "vivado_hls" ? "vivado_hls.app" : "hls.app"}]] w]
    puts $app "<project name=\"$name\"><solutions><solution name=\"solution1\" status=\"\"/></solutions></project>"
    close $app
}
proc set_top {name} {
    fake::need $fake::project "open_project" set_top
    set fake::top $name
}
proc add_files {args} {
    if {$fake::kind eq "vivado"} {
        foreach path [lindex $args end] {
            if {![file exists $path]} { fake::fail "\[Common 17-55\] File '$path' does not exist" }
            lappend fake::sources $path
        }
        return
    }
    fake::need $fake::project "open_project" add_files
    set path [lindex $args [expr {[lindex $args 0] eq "-tb" ? 1 : 0}]]
    if {![file exists $path]} { fake::fail "\[HLS 200-642\] The file '$path' does not exist" }
    if {"-tb" ni $args} { lappend fake::files $path }
}
proc open_solution {args} {
    fake::need $fake::project "open_project" open_solution
    set name [lindex $args end]
    set fake::solution [lindex $args [lsearch -not -glob $args "-*"]]
    if {"-reset" in $args} { file delete -force [fake::folder] }
    file mkdir [fake::folder]
}
proc set_part {part args} {
    fake::need $fake::solution "open_solution" set_part
    fake::step part $part
    set fake::part $part
}
proc create_clock {args} {
    if {$fake::kind ne "vivado"} { fake::need $fake::solution "open_solution" create_clock }
    set fake::period [fake::option $args -period]
    regsub {ns$} $fake::period "" fake::period
}
proc set_clock_uncertainty {value args} {
    fake::need $fake::period "create_clock" set_clock_uncertainty
    set fake::uncertainty $value
}
foreach command {config_compile config_schedule config_interface config_rtl config_export config_dataflow} {
    proc $command {args} { fake::need $fake::solution "open_solution" config }
}
proc config_array_partition {args} {
    # Vitis HLS has no -maximum_size: hls4ml's script catches the error.
    if {$fake::kind ne "vivado_hls" && "-maximum_size" in $args} { error "unknown option -maximum_size" }
}
proc csim_design {args} {
    fake::need $fake::top "set_top" csim_design
    set log [open tb_data/csim_results.log w]
    puts $log "0.25 0.75"
    close $log
}
proc csynth_design {args} {
    fake::need $fake::top "set_top" csynth_design
    fake::need $fake::files "add_files" csynth_design
    fake::need $fake::part "set_part" csynth_design
    fake::need $fake::period "create_clock" csynth_design
    puts "INFO: \[HLS 200-10\] Starting synthesis of $fake::top"
    fake::step csynth $fake::top $fake::part $fake::period [fake::uncertainty_ns] [fake::folder] [pwd]
}
proc cosim_design {args} {
    set report [file join [fake::folder] syn report ${fake::top}_csynth.xml]
    if {![file exists $report]} { fake::fail "\[COSIM 212-38\] Cannot find C synthesis results" }
    set sim [file join [fake::folder] sim verilog]
    file mkdir $sim
    set wave [open [file join $sim $fake::top.tcl] w]
    puts $wave "log_wave -r /\nrun all\nquit"
    close $wave
    set run [open [file join $sim run_sim.tcl] w]
    set call [list fake::step cosim $fake::top $fake::part $fake::period [fake::uncertainty_ns] [fake::folder] [pwd]]
    puts $run $call
    close $run
    if {"-setup" ni $args} { eval $call }
}
proc export_design {args} {
    set report [file join [fake::folder] syn report ${fake::top}_csynth.xml]
    if {![file exists $report]} { fake::fail "\[IMPL 213-8\] Cannot find C synthesis results" }
    if {[fake::option $args -format] eq "xo"} { set xo [fake::option $args -output] } else { set xo "" }
    fake::step export $fake::top [fake::folder] $xo
}

# Vivado. A project that is held in memory, as in our own scripts.
proc create_project {args} { fake::step part [fake::option $args -part] }
proc set_property {args} {
    if {[lindex $args 0] eq "board_part"} { fake::step board [lindex $args 1] }
}
proc set_param {args} {}
proc set_msg_config {args} {}
proc current_project {} { return project_1 }
proc current_fileset {} { return sources_1 }
proc get_ports {args} { return [lindex $args end] }
proc get_clocks {args} { return [lindex $args end] }
proc read_verilog {args} {
    foreach path [lindex $args end] {
        if {![file exists $path]} { fake::fail "\[Common 17-55\] File '$path' does not exist" }
        lappend fake::sources $path
    }
}
proc read_vhdl {args} { read_verilog {*}$args }
proc read_xdc {args} {
    set path [lindex $args end]
    if {![file exists $path]} { fake::fail "\[Common 17-55\] File '$path' does not exist" }
    uplevel #0 [list source $path]
}
proc synth_design {args} {
    fake::need $fake::sources "read_verilog" synth_design
    set fake::top [fake::option $args -top]
    set fake::part [fake::option $args -part]
    puts "Command: synth_design $args"
    fake::step synth $fake::top
    set fake::state Synthesized
}
proc opt_design {args} { fake::need $fake::state "synth_design" opt_design; set fake::state Optimized }
proc place_design {args} { fake::need $fake::state "synth_design" place_design; set fake::state "Fully Placed" }
proc phys_opt_design {args} { fake::need $fake::state "synth_design" phys_opt_design }
proc route_design {args} {
    if {$fake::state ne "Fully Placed"} { fake::fail "\[Route 35-9\] Router requires a placed design" }
    set fake::state Routed
}
foreach {command report} {
    report_utilization utilization report_timing_summary timing report_power power
} {
    proc $command {args} [string map [list REPORT $report] {
        fake::need $fake::state "synth_design" report
        set file [fake::option $args -file]
        if {"-hierarchical" in $args} { set hierarchical 1 } else { set hierarchical 0 }
        fake::step REPORT $fake::top $fake::part $fake::period $fake::state $file $hierarchical
    }]
}
proc write_checkpoint {args} {}

if {$fake::kind eq "vivado"} { source [file join [file dirname [info script]] vivado_project.tcl] }

set fake::script [lindex $argv 0]
set argv [lrange $argv 1 end]
set argc [llength $argv]
set argv0 $fake::script
if {[catch {uplevel #0 [list source $fake::script]} fake::message]} {
    puts "$fake::message\n    while executing\n$::errorInfo"
    flush stdout
    exit 1
}
exit 0
