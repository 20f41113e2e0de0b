# Vivado's projects, block designs, IP packaging and runs, stubbed: as strict as the real ones about what must exist,
# what may be connected, and in which order. Sourced behind stubs.tcl by the fake vivado.
#
# FAKE_BD_DUMP: a file that gets the block design when it is saved, one fact a line.
# FAKE_BOARD_PARTS: board parts that are "installed", separated by blanks; all that are asked for by default.

namespace eval fake {
    variable props           ;# "object name" -> value
    variable project_folder "" in_memory 0 repos {} catalog {} cells {} pins {} intfs {} nets {} links {} external {}
    variable addresses {} excluded {} design "" valid 0 wrapper "" core "" progress {} pinned {} mentioned {} created 0
    variable boards_known 0    ;# once a project was created, for good
    variable ports {}
}
array set fake::props {}

# kind direction name [property that must be 1]: clk and rst are pins, the others interfaces.
set fake::library {
    processing_system7 {
        {clk O FCLK_CLK0 PCW_EN_CLK0_PORT} {rst O FCLK_RESET0_N PCW_EN_RST0_PORT}
        {clk I M_AXI_GP0_ACLK PCW_USE_M_AXI_GP0} {clk I S_AXI_HP0_ACLK PCW_USE_S_AXI_HP0}
        {aximm M M_AXI_GP0 PCW_USE_M_AXI_GP0} {aximm S S_AXI_HP0 PCW_USE_S_AXI_HP0} {ext M DDR} {ext M FIXED_IO}
    }
    zynq_ultra_ps_e {
        {clk O pl_clk0 PSU__FPGA_PL0_ENABLE} {rst O pl_resetn0 PSU__FPGA_PL0_ENABLE}
        {clk I maxihpm0_fpd_aclk PSU__USE__M_AXI_GP0} {clk I saxihp0_fpd_aclk PSU__USE__S_AXI_GP2}
        {aximm M M_AXI_HPM0_FPD PSU__USE__M_AXI_GP0} {aximm S S_AXI_HP0_FPD PSU__USE__S_AXI_GP2}
        {clk I maxihpm1_fpd_aclk PSU__USE__M_AXI_GP1} {aximm M M_AXI_HPM1_FPD PSU__USE__M_AXI_GP1}
        {clk I maxihpm0_lpd_aclk PSU__USE__M_AXI_GP2} {aximm M M_AXI_HPM0_LPD PSU__USE__M_AXI_GP2}
    }
    axi_dma {
        {clk I s_axi_lite_aclk} {clk I m_axi_mm2s_aclk} {clk I m_axi_s2mm_aclk} {rst I axi_resetn}
        {aximm S S_AXI_LITE} {aximm M M_AXI_MM2S} {aximm M M_AXI_S2MM} {axis M M_AXIS_MM2S} {axis S S_AXIS_S2MM}
    }
    smartconnect {{clk I aclk} {rst I aresetn}}
    axi_interconnect {{clk I ACLK} {rst I ARESETN}}
    proc_sys_reset {
        {clk I slowest_sync_clk} {rst I ext_reset_in} {rst O peripheral_aresetn} {rst O interconnect_aresetn}
    }
    system_ila {{clk I clk} {rst I resetn}}
}
set fake::versions {
    processing_system7 5.5 zynq_ultra_ps_e 3.3 axi_dma 7.1 smartconnect 1.0 axi_interconnect 2.1 proc_sys_reset 5.0
    system_ila 1.1
}

proc fake::mode {} { return $::env(FAKE_TOOL_MODE) }
proc fake::is {mode} { return [string match *$mode* [fake::mode]] }
proc fake::release {} {
    return [expr {[info exists ::env(FAKE_TOOL_VERSION)] ? $::env(FAKE_TOOL_VERSION) : "2020.1"}]
}
proc fake::at_least {release} { return [expr {[package vcompare [fake::release] $release] >= 0}] }
proc fake::prop {object name {default ""}} {
    return [expr {[info exists fake::props([list $object $name])] ? $fake::props([list $object $name]) : $default}]
}
proc fake::touch {path {content x}} {
    file mkdir [file dirname $path]
    set file [open $path w]
    puts -nonewline $file $content
    close $file
}
proc fake::text {path} {
    set file [open $path r]
    set text [read $file]
    close $file
    return $text
}
# As fake::step, but what it prints goes to a file: a run of its own.
proc fake::run_step {log args} {
    file mkdir [file dirname $log]
    flush stdout
    return [catch {exec $::env(FAKE_PYTHON) -S -m fake_vendor.step {*}$args > $log 2>@1}]
}

proc version {args} { return [fake::release] }
proc get_parts {args} { return [expr {[fake::is part_missing] ? "" : [lindex $args end]}] }
proc get_board_parts {args} {
    set wanted [lindex $args end]
    if {[fake::is board_missing]} { return {} }
    if {[info exists ::env(FAKE_BOARD_PARTS)]} {
        return [lsearch -all -inline -glob $::env(FAKE_BOARD_PARTS) $wanted]
    }
    return [expr {[string match "*\\**" $wanted] ? "" : $wanted}]
}
proc set_param {name value} {
    if {$name eq "board.repoPaths"} {
        if {$fake::boards_known} { fake::fail "\[fake\] board.repoPaths is set after create_project" }
        foreach folder $value {
            if {![file isdirectory $folder]} { fake::fail "\[Common 17-55\] no folder '$folder'" }
        }
    }
}
proc create_project {args} {
    fake::step part [fake::option $args -part]
    set fake::part [fake::option $args -part]
    set fake::in_memory [expr {"-in_memory" in $args}]
    set fake::sources {}
    set fake::created 1
    set fake::boards_known 1
    if {!$fake::in_memory} {
        set fake::project_folder [lindex $args end]
        file delete -force $fake::project_folder
        fake::touch [file join $fake::project_folder [file tail $fake::project_folder].xpr]
    }
}
proc close_project {} { set fake::created 0; set fake::sources {} }
proc current_project {} { return project }
proc current_fileset {} { return sources_1 }
proc current_design {} { return design }
proc update_compile_order {args} {}
proc get_files {name} { return $name }
proc set_property {args} {
    if {[lindex $args 0] eq "-dict"} {
        lassign $args _ pairs objects
    } else {
        lassign $args name value objects
        set pairs [list $name $value]
    }
    foreach object $objects {
        foreach {name value} $pairs {
            set fake::props([list $object $name]) $value
            if {$name eq "board_part"} { fake::step board $value }
            if {$name eq "ip_repo_paths"} { set fake::repos $value }
            if {$name eq "PACKAGE_PIN"} { lappend fake::pinned $object }
            if {$name eq "top" && $object eq "sources_1"} { set fake::top $value }
        }
        if {$object in $fake::cells} { fake::expand $object }
    }
}
proc get_property {name object} {
    if {$object in {setup hold}} {
        set slack [expr {$object eq "setup" ? 0.184 : 0.097}]
        if {$object eq "setup" && [fake::is timing_missed]} { set slack -0.463 }
        if {$object eq "hold" && [fake::is hold_missed]} { set slack -0.031 }
        return [dict get [list SLACK $slack STARTPOINT_PIN u_fc1/step_reg/C ENDPOINT_PIN u_fc1/sum_reg/D \
            ENDPOINT_CLOCK clk_fpga_0 LOGIC_LEVELS 9] $name]
    }
    if {$object in {synth_1 impl_1}} {
        switch $name {
            PROGRESS { return [dict get $fake::progress $object] }
            STATUS { return [expr {[dict get $fake::progress $object] eq "100%" ? "$object Complete!" : "$object ERROR"}] }
            DIRECTORY { return [fake::run_folder $object] }
        }
    }
    if {[string match CONFIG.*ACT* $name]} { return [fake::actual_mhz $object] }
    return [fake::prop $object $name]
}

# The clock the processor really makes: its IO PLL through two dividers, the nearest one.
proc fake::actual_mhz {cell} {
    set ultra [string match *zynq_ultra* [fake::prop $cell VLNV]]
    set wanted [fake::prop $cell [expr {$ultra ? "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ" : "CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ"}] 50]
    set pll [expr {$ultra ? 1500.0 : 1000.0}]
    if {[fake::is clock_off]} { set pll [expr {$pll * 0.97}] }
    set best 0
    for {set a 1} {$a < 64} {incr a} {
        for {set b 1} {$b < 64} {incr b} {
            set made [expr {$pll / ($a * $b)}]
            if {abs($made - $wanted) < abs($best - $wanted)} { set best $made }
        }
    }
    set fake::period [expr {1000.0 / $best}]
    return [format %.6f $best]
}

# Files
proc add_files {args} {
    foreach path [lindex $args end] {
        if {![file exists $path]} { fake::fail "\[Common 17-55\] File '$path' does not exist" }
        lappend fake::sources $path
    }
}
proc read_mem {paths} { add_files $paths }
# Every memory file and every module of ours that the Verilog names must be among the sources.
proc fake::check_sources {} {
    set known {}
    set modules {}
    foreach path $fake::sources {
        lappend known [file tail $path]
        if {[file extension $path] ne ".v"} { continue }
        foreach {_ name} [regexp -all -inline {\mmodule\s+(\w+)} [fake::text $path]] { lappend modules $name }
    }
    foreach path $fake::sources {
        if {[file extension $path] ne ".v"} { continue }
        foreach {_ name} [regexp -all -inline {"([^"]+\.(?:mem|hex|dat))"} [fake::text $path]] {
            if {$name ni $known} { fake::fail "\[Synth 8-2898\] $path reads $name, which is no source" }
        }
        foreach {_ name} [regexp -all -inline -line {^\s*((?:flow|layer)_\w+)\s+(?:#\(|\w+\s*\()} [fake::text $path]] {
            if {$name ni $modules} { fake::fail "\[Synth 8-439\] module '$name' not found, which $path uses" }
        }
    }
}
# Ports of a module as {direction name width}.
proc fake::module_ports {module} {
    foreach path $fake::sources {
        if {[file extension $path] ne ".v"} { continue }
        set text [fake::text $path]
        regsub -all {//[^\n]*} $text {} text
        regsub -all {\(\*[^)]*\*\)} $text {} text
        if {![regexp -indices "\\mmodule\\s+$module\\M" $text found]} { continue }
        set start [lindex $found 1]
        set body [string range $text $start [string first ");" $text $start]]
        set ports {}
        foreach {_ direction high name} [regexp -all -inline \
            {(input|output|inout)\s+(?:wire|reg)?\s*(?:\[\s*(\d+)\s*:\s*0\s*\])?\s*(\w+)} $body] {
            lappend ports [list $direction $name [expr {$high eq "" ? 1 : $high + 1}]]
        }
        return $ports
    }
    fake::fail "\[Synth 8-439\] module '$module' not found"
}

# IP packaging: component.xml names the top and its streams, as inferred from the ports.
namespace eval ipx {}
proc ipx::package_project {args} {
    fake::check_sources
    set root [fake::option $args -root_dir]
    set fake::core $root
    fake::write_component $root $fake::top [fake::module_ports $fake::top]
}
proc fake::write_component {root top ports} {
    set streams {}
    foreach bus {s_axis m_axis} mode {S M} {
        set names {}
        foreach port $ports { lappend names [string tolower [lindex $port 1]] }
        if {"${bus}_tvalid" in $names && "${bus}_tready" in $names && "${bus}_tlast" in $names} {
            foreach port $ports {
                if {[string tolower [lindex $port 1]] eq "${bus}_tdata"} { lappend streams "$mode $bus [lindex $port 2]" }
            }
        }
    }
    set xml "<component><name>$top</name>"
    foreach stream $streams { append xml "<stream>$stream</stream>" }
    fake::touch [file join $root component.xml] "$xml</component>\n"
}
proc ipx::current_core {} { return core }
proc ipx::get_bus_interfaces {name args} {
    return [expr {[string match "* $name *" [fake::text [file join $fake::core component.xml]]] ? $name : ""}]
}
proc ipx::associate_bus_interfaces {args} {}
proc ipx::update_checksums {args} {}
proc ipx::check_integrity {args} { return 1 }
proc ipx::save_core {args} {}
proc package_xo {args} {
    set ip [fake::option $args -ip_directory]
    if {![file exists [file join $ip component.xml]]} { fake::fail "\[fake\] no IP in $ip" }
    if {[fake::prop core sdx_kernel] ne "true"} { fake::fail "\[Vivado 12-4404\] the IP is not a kernel" }
    set streams {}
    foreach {_ mode bus width} [regexp -all -inline {<stream>(\w) (\w+) (\d+)</stream>} \
        [fake::text [file join $ip component.xml]]] {
        lappend streams "\"$bus\": \[\"$mode\", $width\]"
    }
    fake::touch [fake::option $args -xo_path] \
        "{\"kernel\": \"[fake::option $args -kernel_name]\", \"streams\": {[join $streams {, }]}, \"memories\": \[\]}"
}

# The catalog
proc update_ip_catalog {args} {
    set fake::catalog {}
    foreach repo $fake::repos {
        foreach path [concat [glob -nocomplain -directory $repo component.xml] \
            [glob -nocomplain -directory $repo */component.xml]] {
            set text [fake::text $path]
            regexp {<name>(\w+)</name>} $text _ name
            set entries {{clk I ap_clk} {rst I ap_rst_n}}
            foreach {_ mode bus width} [regexp -all -inline {<stream>(\w) (\w+) (\d+)</stream>} $text] {
                lappend entries [list axis $mode $bus]
                set fake::props([list $name $bus]) $width
            }
            dict set fake::library $name $entries
            lappend fake::catalog flow:user:$name:1.0
        }
    }
}
proc get_ipdefs {args} {
    set found {}
    foreach name [dict keys $fake::versions] {
        lappend found xilinx.com:ip:$name:[dict get $fake::versions $name]
    }
    return [lsearch -all -inline -glob [concat $found $fake::catalog] [lindex $args end]]
}

# Block designs
proc create_bd_design {name} {
    if {!$fake::created} { fake::fail "\[BD 5-104\] no project is open" }
    set fake::design $name
}
proc create_bd_cell {args} {
    set vlnv [fake::option $args -vlnv]
    set name [lindex $args end]
    if {$fake::design eq ""} { fake::fail "\[BD 5-104\] no block design is open" }
    if {$name in $fake::cells} { fake::fail "\[BD 5-145\] cell $name exists" }
    if {$vlnv ni [get_ipdefs -all $vlnv]} { fake::fail "\[BD 5-390\] IP definition not found for VLNV: $vlnv" }
    lappend fake::cells $name
    set fake::props([list $name VLNV]) $vlnv
    fake::expand $name
    return $name
}
# The pins a cell has with its present settings.
proc fake::expand {cell} {
    set ip [lindex [split [fake::prop $cell VLNV] :] 2]
    set entries [dict get $fake::library $ip]
    if {$ip in {smartconnect axi_interconnect}} {
        foreach {letter property} {S NUM_SI M NUM_MI} {
            for {set i 0} {$i < [fake::prop $cell CONFIG.$property 1]} {incr i} {
                set port [format %s%02d $letter $i]
                lappend entries [list aximm [expr {$letter eq "S" ? "S" : "M"}] ${port}_AXI]
                if {$ip eq "axi_interconnect"} {
                    lappend entries [list clk I ${port}_ACLK] [list rst I ${port}_ARESETN]
                }
            }
        }
    }
    if {$ip eq "system_ila"} {
        for {set i 0} {$i < [fake::prop $cell CONFIG.C_NUM_MONITOR_SLOTS 1]} {incr i} {
            lappend entries [list monitor S SLOT_${i}_AXIS]
        }
    }
    foreach entry $entries {
        lassign $entry kind direction name condition
        if {$condition ne "" && [fake::prop $cell CONFIG.$condition 0] ne "1"} { continue }
        if {$kind in {clk rst}} {
            dict set fake::pins $cell/$name [list $kind $direction]
        } else {
            dict set fake::intfs $cell/$name [list $kind $direction]
        }
    }
}
proc get_bd_cells {name} {
    if {$name ni $fake::cells} { fake::fail "\[BD 5-106\] no cell $name" }
    return $name
}
proc get_bd_pins {name} {
    if {![dict exists $fake::pins $name]} { fake::fail "\[BD 5-106\] no pin $name" }
    return $name
}
proc get_bd_intf_pins {name} {
    if {![dict exists $fake::intfs $name]} { fake::fail "\[BD 5-106\] no interface pin $name" }
    return $name
}
proc connect_bd_net {args} {
    lassign $args driver load
    if {[lindex [dict get $fake::pins $driver] 1] ne "O" || [lindex [dict get $fake::pins $load] 1] ne "I"} {
        fake::fail "\[BD 41-758\] $driver does not drive $load"
    }
    if {[lindex [dict get $fake::pins $driver] 0] ne [lindex [dict get $fake::pins $load] 0]} {
        fake::fail "\[BD 41-759\] $driver and $load are not of one kind"
    }
    if {[dict exists $fake::nets $load]} { fake::fail "\[BD 41-701\] $load is driven already" }
    dict set fake::nets $load $driver
}
proc connect_bd_intf_net {args} {
    lassign $args one other
    lassign [dict get $fake::intfs $one] kind_one mode_one
    lassign [dict get $fake::intfs $other] kind_other mode_other
    if {$kind_one eq "monitor"} {
        if {$kind_other ne "axis"} { fake::fail "\[BD 41-237\] $other is no stream" }
        lappend fake::links [list $one $other]
        return
    }
    if {$kind_one ne $kind_other || $mode_one eq $mode_other} {
        fake::fail "\[BD 41-237\] $one and $other cannot be connected"
    }
    foreach pin [list $one $other] {
        if {[fake::linked $pin]} { fake::fail "\[BD 41-702\] $pin is connected already" }
    }
    lappend fake::links [list $one $other]
}
proc fake::linked {pin} {
    foreach link $fake::links {
        if {$pin in $link && ![string match *SLOT_* [lindex $link 0]]} { return 1 }
    }
    return 0
}
proc apply_bd_automation {args} {
    set config [fake::option $args -config]
    set cell [lindex $args end]
    if {[dict get $config apply_board_preset] && [fake::prop project board_part] eq ""} {
        fake::fail "\[BD 5-336\] there is no board to take a preset from"
    }
    set fake::props([list $cell preset]) [dict get $config apply_board_preset]
    if {[dict exists $config make_external]} {
        foreach name [split [dict get $config make_external] ", "] {
            if {$name ne ""} { lappend fake::external $cell/$name }
        }
    }
}

# Addresses: {space segment offset range}
proc get_bd_addr_spaces {name} {
    if {[lindex [split $name /] 0] ni $fake::cells} { fake::fail "\[BD 5-106\] no address space $name" }
    return $name
}
proc get_bd_addr_segs {args} {
    set name [lindex $args end]
    lassign [split $name /] cell
    set known {ps/S_AXI_HP0/HP0_DDR_LOWOCM dma/S_AXI_LITE/Reg}
    if {[string match *zynq_ultra* [fake::prop ps VLNV]]} {
        set known {dma/S_AXI_LITE/Reg ps/SAXIGP2/HP0_DDR_LOW ps/SAXIGP2/HP0_LPS_OCM ps/SAXIGP2/HP0_QSPI}
        if {![fake::is small_memory]} { lappend known ps/SAXIGP2/HP0_DDR_HIGH }
    }
    if {$name ni $known} {
        if {"-quiet" in $args} { return {} }
        fake::fail "\[BD 5-106\] no address segment $name"
    }
    return $name
}
proc fake::natural {segment} {
    return [dict get {
        ps/S_AXI_HP0/HP0_DDR_LOWOCM {0x0 0x20000000} dma/S_AXI_LITE/Reg {0x40400000 0x10000}
        ps/SAXIGP2/HP0_DDR_LOW {0x0 0x80000000} ps/SAXIGP2/HP0_DDR_HIGH {0x800000000 0x800000000}
    } $segment]
}
proc fake::map {space segment offset range} {
    set bytes [string map {K "*1024" M "*1048576"} $range]
    lappend fake::addresses [list $space $segment [expr {$offset}] [expr $bytes]]
}
proc assign_bd_address {args} {
    set space [fake::option $args -target_address_space]
    if {"-offset" in $args && ![fake::at_least 2020.1]} { fake::fail "\[Common 17-170\] Unknown option '-offset'" }
    lassign [fake::natural [lindex $args end]] offset range
    fake::map $space [lindex $args end] [fake::option $args -offset $offset] [fake::option $args -range $range]
}
proc create_bd_addr_seg {args} {
    lassign [lrange $args end-2 end] space segment name
    fake::map $space $segment [fake::option $args -offset] [fake::option $args -range]
}
proc exclude_bd_addr_seg {args} {
    lappend fake::excluded [list [fake::option $args -target_address_space] [lindex $args end]]
}

proc validate_bd_design {args} {
    dict for {pin entry} $fake::pins {
        if {[lindex $entry 1] eq "I" && ![dict exists $fake::nets $pin]} {
            fake::fail "\[BD 41-758\] The following [lindex $entry 0] pins are not connected: $pin"
        }
    }
    dict for {pin entry} $fake::intfs {
        if {[lindex $entry 0] eq "ext"} {
            if {$pin ni $fake::external} { fake::fail "\[BD 41-1273\] $pin leads nowhere" }
        } elseif {![fake::linked $pin] && [lindex $entry 0] ne "monitor"} {
            fake::fail "\[BD 41-1273\] interface $pin is not connected"
        }
    }
    foreach space {ps/Data dma/Data_MM2S dma/Data_S2MM} {
        set mapped [lsearch -all -inline -index 0 -exact $fake::addresses $space]
        if {![llength $mapped]} { fake::fail "\[BD 41-1356\] nothing is mapped into $space" }
        foreach one $mapped {
            foreach other $mapped {
                if {$one ne $other && [lindex $one 2] < [lindex $other 2] + [lindex $other 3]
                    && [lindex $other 2] < [lindex $one 2] + [lindex $one 3]} {
                    fake::fail "\[BD 41-1337\] [lindex $one 1] and [lindex $other 1] overlap in $space"
                }
            }
        }
    }
    set name [lindex [split [fake::prop accelerator VLNV] :] 2]
    if {[fake::prop dma CONFIG.c_m_axis_mm2s_tdata_width] != [fake::prop $name s_axis]} {
        fake::fail "\[BD 41-237\] the DMA's stream and the accelerator's differ in width"
    }
    foreach {property bus} {c_m_axi_mm2s_data_width s_axis c_m_axi_s2mm_data_width m_axis} {
        if {[fake::prop dma CONFIG.$property] < [fake::prop $name $bus]} {
            fake::fail "\[BD 41-237\] $property is narrower than the stream $bus"
        }
    }
    set fake::valid 1
}
proc save_bd_design {} {
    if {![info exists ::env(FAKE_BD_DUMP)]} { return }
    set lines {}
    foreach cell $fake::cells { lappend lines "cell $cell [fake::prop $cell VLNV]" }
    dict for {load driver} $fake::nets { lappend lines "net $driver $load" }
    foreach link $fake::links { lappend lines "link $link" }
    foreach entry $fake::addresses { lappend lines "address $entry" }
    foreach entry $fake::excluded { lappend lines "excluded $entry" }
    foreach key [lsort [array names fake::props]] {
        lassign $key object name
        if {[string match CONFIG.* $name] || $name in {preset board_part}} {
            lappend lines "set $object $name $fake::props($key)"
        }
    }
    fake::touch $::env(FAKE_BD_DUMP) "[join $lines \n]\n"
}
proc generate_target {args} {
    if {!$fake::valid} { fake::fail "\[BD 41-1\] the block design is not validated" }
    set where [expr {[fake::at_least 2020.2] ? "gen" : "srcs"}]
    set name [file tail $fake::project_folder]
    fake::touch [file join $fake::project_folder $name.$where sources_1 bd $fake::design hw_handoff $fake::design.hwh] \
        "<EDKSYSTEM/>\n"
}
proc make_wrapper {args} {
    set path [file join $fake::project_folder ${fake::design}_wrapper.v]
    fake::touch $path "module ${fake::design}_wrapper();\nendmodule\n"
    return $path
}

# Runs
proc get_runs {name} { return $name }
proc fake::run_folder {run} { return [file join $fake::project_folder runs $run] }
proc launch_runs {run args} {
    dict set fake::progress $run 0%
    if {$run eq "impl_1" && [dict get $fake::progress synth_1] ne "100%"} { fake::fail "\[Common 17-70\] synth_1 first" }
    set log [file join [fake::run_folder $run] runme.log]
    set command [expr {$run eq "synth_1" ? "synth" : "implement"}]
    if {![fake::run_step $log $command $fake::top]} { dict set fake::progress $run 100% }
}
proc wait_on_run {run} {
    if {[fake::at_least 2022.1] && [dict get $fake::progress $run] ne "100%"} {
        error "ERROR: \[Common 17-69\] run $run failed"
    }
}
proc open_run {run} {
    if {[dict get $fake::progress $run] ne "100%"} { fake::fail "\[Common 17-53\] $run is not complete" }
    set fake::state Routed
}

# The routed design
proc get_timing_paths {args} {
    if {[fake::is unconstrained] || $fake::period eq ""} { return {} }
    return [expr {"-hold" in $args ? "hold" : "setup"}]
}
foreach command {report_timing report_route_status} {
    proc $command {args} {
        fake::need $fake::state "synth_design" report
        fake::touch [fake::option $args -file] "a report\n"
    }
}
proc write_bitstream {args} {
    if {$fake::state ne "Routed"} { fake::fail "\[Vivado 12-1345\] the design is not routed" }
    if {[fake::is no_bitstream]} { exit 0 }
    fake::touch [lindex $args end] "a bitstream of $fake::part\n"
}
proc write_hw_platform {args} { fake::touch [lindex $args end] }

# Without a project on disk: constraints must name ports of the top, and every port must have a pin.
proc get_ports {args} {
    foreach port [lindex $args end] { lappend fake::mentioned $port }
    return [lindex $args end]
}
proc set_false_path {args} {}
rename synth_design fake::plain_synth_design
proc synth_design {args} {
    if {"-mode" ni $args && $fake::in_memory && [llength $fake::pinned]} {
        fake::check_sources
        set ports {}
        foreach port [fake::module_ports [fake::option $args -top]] { lappend ports [lindex $port 1] }
        foreach port $fake::mentioned {
            if {$port ni $ports} { fake::fail "\[Vivado 12-584\] No ports matched '$port'" }
        }
        foreach port $ports {
            if {$port ni $fake::pinned} { fake::fail "\[DRC UCIO-1\] port $port has no pin" }
        }
    }
    fake::plain_synth_design {*}$args
    fake::derive_clock
}
# The clock behind an MMCM: what its parameters make of the oscillator's.
proc fake::derive_clock {} {
    foreach path $fake::sources {
        if {[file isdirectory $path]} { continue }
        set text [fake::text $path]
        if {[regexp {\.DIVCLK_DIVIDE\(([\d.]+)\).*\.CLKFBOUT_MULT_F\(([\d.]+)\).*\.CLKOUT0_DIVIDE_F\(([\d.]+)\)} $text \
            _ divide multiply output] && $fake::period ne ""} {
            set fake::period [expr {$fake::period * $divide * $output / $multiply}]
        }
    }
}
rename place_design fake::plain_place_design
proc place_design {args} {
    fake::step implement $fake::top
    fake::plain_place_design {*}$args
}
