# A Zynq-7000 or Zynq UltraScale+ system: processor, AXI DMA, interconnect, resets, and the accelerator between the
# DMA's two streams. One clock for all of it, from the processor.

# What differs between the two processors.
proc flow::ps_names {ps} {
    if {$ps eq "zynq7"} {
        return [dict create \
            ip processing_system7 rule xilinx.com:bd_rule:processing_system7 \
            automation {make_external "FIXED_IO, DDR" apply_board_preset "%s" Master "Disable" Slave "Disable"} \
            clock FCLK_CLK0 reset FCLK_RESET0_N control M_AXI_GP0 control_clock M_AXI_GP0_ACLK \
            memory S_AXI_HP0 memory_clock S_AXI_HP0_ACLK memory_width 64 address_width 32 \
            segments S_AXI_HP0/HP0_DDR_LOWOCM excluded {} base 0x40400000 \
            requested CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ actual CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ \
            settings {CONFIG.PCW_USE_M_AXI_GP0 1 CONFIG.PCW_USE_S_AXI_HP0 1 CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64
                CONFIG.PCW_FPGA_FCLK0_ENABLE 1 CONFIG.PCW_EN_CLK0_PORT 1 CONFIG.PCW_EN_RST0_PORT 1
                CONFIG.PCW_FCLK0_PERIPHERAL_CLKSRC {IO PLL}}]
    }
    return [dict create \
        ip zynq_ultra_ps_e rule xilinx.com:bd_rule:zynq_ultra_ps_e automation {apply_board_preset "%s"} \
        clock pl_clk0 reset pl_resetn0 control M_AXI_HPM0_FPD control_clock maxihpm0_fpd_aclk \
        memory S_AXI_HP0_FPD memory_clock saxihp0_fpd_aclk memory_width 128 address_width 40 \
        segments {SAXIGP2/HP0_DDR_LOW SAXIGP2/HP0_DDR_HIGH} excluded {SAXIGP2/HP0_LPS_OCM SAXIGP2/HP0_QSPI} \
        base 0xA0000000 \
        requested CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ actual CONFIG.PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ \
        settings {CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0
            CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__SAXIGP2__DATA_WIDTH 128 CONFIG.PSU__FPGA_PL0_ENABLE 1
            CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL}]
}

# The processor with its board's preset, or with what our board file knows if there are no board files.
proc flow::processor {design board} {
    set names [flow::ps_names [dict get $design ps]]
    set cell [create_bd_cell -type ip -vlnv [flow::ip [dict get $names ip]] ps]
    set preset [expr {$board ne ""}]
    apply_bd_automation -rule [dict get $names rule] -config [format [dict get $names automation] $preset] $cell
    if {!$preset} {
        set known [dict get $design preset]
        set from "flow's board file has no settings of the processor, all are"
        if {[dict size $known]} {
            set settings {}
            dict for {name value} $known { lappend settings CONFIG.$name $value }
            set_property -dict $settings $cell
            set from "the processor has [dict size $known] settings from flow's own board file, all others are"
        }
        flow::warn preset "$from Vivado's defaults: fine for an overlay that a running Linux loads, not for making a\
            boot image"
    }
    set_property -dict [dict get $names settings] $cell
    set_property [dict get $names requested] [dict get $design clock_mhz] $cell
    set made [get_property [dict get $names actual] $cell]
    set wanted [dict get $design clock_mhz]
    if {![string is double -strict $made] || abs($made - $wanted) > 0.002 * $wanted} {
        flow::fail clock "the processor makes a clock of $made MHz, the design is for $wanted MHz: build it for that"
    }
    return [dict merge $names [dict create made $made]]
}

proc flow::interconnect {name kind slaves} {
    set cell [create_bd_cell -type ip -vlnv [flow::ip $kind] $name]
    set_property -dict [list CONFIG.NUM_SI $slaves CONFIG.NUM_MI 1] $cell
    # SmartConnect has one clock and reset, the older interconnect one for each port.
    if {$kind eq "smartconnect"} { return [list $name/aclk [list $name/aresetn]] }
    set clocks [list $name/ACLK $name/M00_ACLK]
    set resets [list $name/ARESETN $name/M00_ARESETN]
    for {set i 0} {$i < $slaves} {incr i} {
        lappend clocks [format %s/S%02d_ACLK $name $i]
        lappend resets [format %s/S%02d_ARESETN $name $i]
    }
    return [list $clocks $resets]
}

proc flow::address {space segment {offset ""} {range ""}} {
    set from [get_bd_addr_spaces $space]
    set to [get_bd_addr_segs -quiet $segment]
    if {![llength $to]} { return 0 }
    if {$offset eq ""} {
        assign_bd_address -target_address_space $from $to
    } elseif {[package vcompare [regsub {^(\d+\.\d+).*} [flow::release] {\1}] 2020.1] < 0} {
        create_bd_addr_seg -range $range -offset $offset $from $to SEG_[string map {/ _} $segment]
    } else {
        assign_bd_address -offset $offset -range $range -target_address_space $from -force $to
    }
    return 1
}

# The block design "system". design: a dict, see build.tcl.
proc flow::zynq_system {design board} {
    create_bd_design system
    set names [flow::processor $design $board]
    set kind [dict get $design interconnect]

    set dma [create_bd_cell -type ip -vlnv [flow::ip axi_dma] dma]
    # As wide towards the memory as its port, but never narrower than the stream.
    set width [dict get $names memory_width]
    set_property -dict [list \
        CONFIG.c_include_sg 0 CONFIG.c_sg_include_stscntrl_strm 0 CONFIG.c_sg_length_width 26 \
        CONFIG.c_addr_width [dict get $names address_width] \
        CONFIG.c_include_mm2s_dre 0 CONFIG.c_include_s2mm_dre 0 \
        CONFIG.c_m_axi_mm2s_data_width [expr {max($width, [dict get $design in_tdata])}] \
        CONFIG.c_m_axis_mm2s_tdata_width [dict get $design in_tdata] \
        CONFIG.c_m_axi_s2mm_data_width [expr {max($width, [dict get $design out_tdata])}] \
        CONFIG.c_mm2s_burst_size 16 CONFIG.c_s2mm_burst_size 16] $dma
    create_bd_cell -type ip -vlnv [dict get $design accelerator] accelerator
    create_bd_cell -type ip -vlnv [flow::ip proc_sys_reset] resets
    lassign [flow::interconnect control $kind 1] control_clocks control_resets
    lassign [flow::interconnect memory $kind 2] memory_clocks memory_resets

    # Data: memory - DMA - accelerator - DMA - memory
    foreach {from to} [list \
        ps/[dict get $names control] control/S00_AXI control/M00_AXI dma/S_AXI_LITE \
        dma/M_AXI_MM2S memory/S00_AXI dma/M_AXI_S2MM memory/S01_AXI memory/M00_AXI ps/[dict get $names memory] \
        dma/M_AXIS_MM2S accelerator/s_axis accelerator/m_axis dma/S_AXIS_S2MM] {
        connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
    }

    # One clock, one reset
    set clocks [concat ps/[dict get $names control_clock] ps/[dict get $names memory_clock] resets/slowest_sync_clk \
        dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk accelerator/ap_clk \
        $control_clocks $memory_clocks]
    set resets [concat dma/axi_resetn accelerator/ap_rst_n $control_resets $memory_resets]
    if {[dict get $design ila]} {
        create_bd_cell -type ip -vlnv [flow::ip system_ila] ila
        set_property -dict [list CONFIG.C_MON_TYPE INTERFACE CONFIG.C_NUM_MONITOR_SLOTS 2 CONFIG.C_DATA_DEPTH 1024 \
            CONFIG.C_SLOT_0_INTF_TYPE xilinx.com:interface:axis_rtl:1.0 \
            CONFIG.C_SLOT_1_INTF_TYPE xilinx.com:interface:axis_rtl:1.0] [get_bd_cells ila]
        connect_bd_intf_net [get_bd_intf_pins ila/SLOT_0_AXIS] [get_bd_intf_pins accelerator/s_axis]
        connect_bd_intf_net [get_bd_intf_pins ila/SLOT_1_AXIS] [get_bd_intf_pins accelerator/m_axis]
        lappend clocks ila/clk
        lappend resets ila/resetn
    }
    foreach pin $clocks { connect_bd_net [get_bd_pins ps/[dict get $names clock]] [get_bd_pins $pin] }
    connect_bd_net [get_bd_pins ps/[dict get $names reset]] [get_bd_pins resets/ext_reset_in]
    foreach pin $resets { connect_bd_net [get_bd_pins resets/peripheral_aresetn] [get_bd_pins $pin] }

    # Addresses
    flow::address ps/Data dma/S_AXI_LITE/Reg [dict get $names base] 64K
    foreach space {dma/Data_MM2S dma/Data_S2MM} {
        set mapped 0
        foreach segment [dict get $names segments] { incr mapped [flow::address $space ps/$segment] }
        if {!$mapped} { flow::fail address "the DMA cannot reach the processor's memory" }
        foreach segment [dict get $names excluded] {
            if {[llength [get_bd_addr_segs -quiet ps/$segment]]} {
                exclude_bd_addr_seg -target_address_space [get_bd_addr_spaces $space] [get_bd_addr_segs ps/$segment]
            }
        }
    }
    validate_bd_design
    save_bd_design
    return [dict get $names made]
}

# The whole build. Leaves STEM.bit and STEM.hwh in board/, and says so in reports/result.json.
proc flow::build_zynq {here design} {
    set stem [dict get $design stem]
    set out [file join $here board]
    foreach suffix {bit hwh xsa} { file delete -force [file join $out $stem.$suffix] }
    file delete -force [file join $here reports]
    file mkdir [file join $here reports]
    # Everything is looked for before anything is started.
    set sources [flow::files $here [dict get $design sources]]
    set memories [flow::files $here [dict get $design memories]]
    set part [dict get $design part]
    flow::need_part $part
    flow::board_files $here
    if {[llength $sources]} {
        set ip [flow::package_ip $here [dict get $design top] $part $sources $memories]
    } else {
        set ip [lindex [flow::files $here [list [dict get $design ip_folder]]] 0]
    }
    set board [flow::new_project $here $stem $part [dict get $design board_part]]
    set_property ip_repo_paths [list $ip] [current_project]
    update_ip_catalog
    set found [get_ipdefs -all -quiet "*:*:[dict get $design top]:*"]
    if {[llength $found] != 1} { flow::fail ip "the accelerator's IP is not in $ip: run the step before this one" }
    dict set design accelerator [lindex $found 0]
    set made [flow::zynq_system $design $board]

    set bd [get_files system.bd]
    # One synthesis of everything: no runs of their own for each IP, so one log.
    set_property synth_checkpoint_mode None $bd
    generate_target all $bd
    add_files -norecurse [list [make_wrapper -files $bd -top]]
    set_property top system_wrapper [current_fileset]
    update_compile_order -fileset sources_1
    flow::run_to_route [flow::jobs]
    lassign [flow::timing_gate [file join $here reports]] setup hold

    set handoff {}
    foreach pattern {*.gen *.srcs} {
        set handoff [concat $handoff \
            [glob -nocomplain -directory [file join $here work $stem] $pattern/sources_1/bd/system/hw_handoff/system.hwh]]
    }
    if {![llength $handoff]} { flow::fail handoff "Vivado wrote no system.hwh, which PYNQ needs" }
    file mkdir $out
    write_bitstream -force [file join $out $stem.bit]
    file copy -force [lindex $handoff 0] [file join $out $stem.hwh]
    if {[catch { write_hw_platform -fixed -force -file [file join $out $stem.xsa] } message]} {
        flow::warn xsa "no $stem.xsa was written: $message"
    }
    flow::write_result [file join $here reports result.json] [dict create \
        plan [flow::read_line [file join $here plan.digest]] vivado [flow::release] board_part $board \
        clock_mhz $made setup_slack_ns $setup hold_slack_ns $hold]
    flow::note "done: $stem.bit and $stem.hwh are in $out"
}
