package prusa

import (
	"slices"
	"strings"
	"sync"
)

// group is settings that are not taken, and why.
type group struct {
	outcome Outcome
	why     string
	off     string // values that mean the feature is off
	zero    bool   // 0 means that too
	needs   string // setting without which these say nothing
	names   string
}

// has reports whether name is in the group. A name that ends in * stands for all that
// begin so.
func (g group) has(name string) bool {
	return slices.ContainsFunc(strings.Fields(g.names), func(n string) bool {
		begin, many := strings.CutSuffix(n, "*")
		return n == name || many && strings.HasPrefix(name, begin)
	})
}

// groupOf finds the group of a setting, nil if it has none.
func groupOf(name string) *group {
	if g, ok := exact()[name]; ok {
		return g
	}
	for i := range groups {
		if strings.Contains(groups[i].names, "*") && groups[i].has(name) {
			return &groups[i]
		}
	}
	return nil
}

// exact are the groups by the names in them.
var exact = sync.OnceValue(func() map[string]*group {
	m := map[string]*group{}
	for i := range groups {
		for _, n := range strings.Fields(groups[i].names) {
			m[n] = &groups[i]
		}
	}
	return m
})

// groups are all settings of PrusaSlicer that have no rule.
var groups = []group{
	{outcome: Board, why: "the G-code around a print is [macros] of the board file", names: `
		start_gcode end_gcode pause_print_gcode start_filament_gcode end_filament_gcode autoemit_temperature_commands`},
	{outcome: None, why: "no G-code of others runs between layers, tools and objects", names: `
		before_layer_gcode layer_gcode between_objects_gcode toolchange_gcode color_change_gcode template_custom_gcode
		colorprint_heights gcode_substitutions post_process`},
	{outcome: Board, why: "the limits of the machine are [speed] and [heat] of the board file", names: `
		machine_max_* machine_min_* machine_limits_usage silent_mode`},
	{outcome: Board, why: "the controller and its firmware are [controller] of the board file", zero: true, names: `
		gcode_flavor use_firmware_retraction use_relative_e_distances use_volumetric_e extrusion_axis remaining_times
		printer_model printer_variant printer_vendor nozzle_high_flow high_current_on_filament_swap`},
	{outcome: Board, why: "levelling and the height of the nozzle are the board's", zero: true, names: `z_offset`},
	{outcome: None, why: "only one kind of printer is meant", off: "FFF", names: `printer_technology`},
	{outcome: None, why: "it names a preset and says nothing about a print", names: `
		preset_name preset_names print_settings_id filament_settings_id printer_settings_id physical_printer_settings_id
		sla_print_settings_id sla_material_settings_id default_print_profile default_filament_profile
		default_sla_print_profile default_sla_material_profile inherits inherits_cummulative compatible_* profile_vendor
		profile_version notes filament_notes printer_notes filament_vendor filament_type filament_colour extruder_colour
		output_filename_format custom_parameters_print custom_parameters_filament custom_parameters_printer
		filament_abrasive variable_layer_height`},
	{outcome: None, why: "how files get to a printer: see platen print", names: `
		host_type print_host printhost_apikey printhost_authorization_type printhost_cafile printhost_password
		printhost_port printhost_ssl_ignore_revoke printhost_user`},
	{outcome: None, why: "what filament costs and weighs is not asked here", zero: true, names: `
		filament_cost filament_density filament_spool_weight`},
	{outcome: None, why: "pictures of the bed and of the part are not made", names: `
		bed_custom_model bed_custom_texture thumbnails thumbnails_format`},
	{outcome: None, why: "the form of G-code on the desk is fixed", off: "disabled octoprint firmware", zero: true, names: `
		gcode_comments gcode_label_objects binary_gcode`},
	{outcome: None, why: "one extruder prints everything", off: "1", zero: true, names: `
		perimeter_extruder infill_extruder solid_infill_extruder support_material_extruder
		support_material_interface_extruder extruder bed_temperature_extruder`},
	{outcome: None, why: "parts of several materials are for a desktop slicer, whose G-code is printed", zero: true, names: `
		wipe_tower single_extruder_multi_material ooze_prevention wipe_into_* interlocking_beam interface_shells`},
	{outcome: None, why: "parts of several materials are for a desktop slicer, whose G-code is printed", needs: "wipe_tower", names: `
		wipe_tower_* wiping_volumes_* single_extruder_multi_material_priming clip_multipart_objects
		multimaterial_purging standby_temperature_delta mmu_segmented_region_* interlocking_beam_*
		interlocking_boundary_avoidance interlocking_depth interlocking_orientation
		cooling_tube_* parking_pos_retraction extra_loading_move filament_cooling_* filament_loading_* filament_unloading_*
		filament_load_time filament_unload_time filament_minimal_purge_on_wipe_tower filament_multitool_*
		filament_purge_multiplier filament_ramming_parameters filament_stamping_* filament_toolchange_delay
		filament_soluble retract_length_toolchange retract_restart_extra_toolchange filament_retract_length_toolchange
		filament_retract_restart_extra_toolchange extruder_offset`},
	{outcome: None, why: "it is for printers with resin", names: `
		absolute_correction area_fill bottle_* delay_* display_* elefant_foot_min_width exposure_time faded_layers
		fast_tilt_time gamma_correction high_viscosity_tilt_time hollowing_* idle_temperature initial_* material_* max_exposure_time
		max_initial_exposure_time min_exposure_time min_initial_exposure_time pad_* relative_correction* sla_archive_format sla_output_precision slow_tilt_time
		branchingsupport_* support_enforcers_only support_points_* support_tree_type supports_enable tilt_* tower_* use_tilt
		zcorrection_layers support_head_* support_pillar_* support_small_* support_max_* support_buildplate_only support_base_*
		support_critical_angle support_object_elevation`},
	{outcome: None, why: "it is an option of the command line: see platen-slice --help", names: `
		align_xy center config_compatibility cut datadir dont_arrange duplicate duplicate_grid ensure_on_bed export_* gcodeviewer
		help help_fff help_sla ignore_nonexistent_config info load loglevel merge output rotate rotate_x rotate_y save scale
		scale_to_fit single_instance single_instance_on_url slice split sw_renderer threads webdev duplicate_x duplicate_y
		multiply_x multiply_y print_center g0 gcode_arcs gcode_binary`},
	{outcome: None, why: "PrusaSlicer itself does not obey it any more", names: `
		infill_only_where_needed standby_temperature start_perimeters_at_concave_points start_perimeters_at_non_overhang
		randomize_start seal_position vibration_limit bed_size fuzzy_skin_perimeter_mode fuzzy_skin_shape
		wall_add_middle_threshold wall_split_middle_threshold support_material_tool acceleration adjust_overhang_flow
		pressure_advance serial_port serial_speed solid_layers solid_min_thickness automatic_extrusion_widths`},
	{outcome: None, why: "walls are as wide as they have to be without it", names: `
		perimeter_generator wall_distribution_count wall_transition_* min_bead_width min_feature_size`},
	{outcome: None, why: "outlines are as fine as 5 µm", off: "regular", zero: true, names: `
		resolution gcode_resolution slice_closing_radius slicing_mode`},
	{outcome: None, why: "surfaces are as they are", off: "none", names: `fuzzy_skin`},
	{outcome: None, why: "surfaces are as they are", needs: "fuzzy_skin", names: `fuzzy_skin_point_dist fuzzy_skin_thickness`},
	{outcome: None, why: "seams are not slanted", off: "nowhere", names: `scarf_seam_placement`},
	{outcome: None, why: "seams are not slanted", needs: "scarf_seam_placement", names: `
		scarf_seam_entire_loop scarf_seam_length scarf_seam_max_segment_length scarf_seam_on_inner_perimeters
		scarf_seam_only_on_smooth scarf_seam_start_height`},
	{outcome: None, why: "seams are closed, and as seam says", zero: true, names: `
		staggered_inner_seams seam_gap_distance filament_seam_gap_distance seam_preferred_direction
		seam_preferred_direction_jitter prefer_clockwise_movements`},
	{outcome: None, why: "the nozzle is lifted at once, and over everything", zero: true, names: `
		retract_lift_above retract_lift_below filament_retract_lift_above filament_retract_lift_below travel_ramping_lift
		travel_lift_before_obstacle travel_max_lift travel_slope filament_travel_*`},
	{outcome: None, why: "speed and pressure are even without it", zero: true, names: `
		max_volumetric_extrusion_rate_slope_positive max_volumetric_extrusion_rate_slope_negative
		cooling_perimeter_transition_distance cooling_slowdown_logic`},
	{outcome: None, why: "filament does not shrink by as much as a model can be scaled: use --scale", zero: true, off: "0%", names: `
		filament_shrinkage_compensation_xy filament_shrinkage_compensation_z`},
	{outcome: None, why: "all lines are as wide as line_width", zero: true, names: `
		perimeter_extrusion_width external_perimeter_extrusion_width infill_extrusion_width solid_infill_extrusion_width
		top_infill_extrusion_width first_layer_extrusion_width support_material_extrusion_width`},
	{outcome: None, why: "every part of the first layer has first_layer_speed and first_layer_acceleration, on a raft as well", zero: true, names: `
		first_layer_infill_speed first_layer_speed_over_raft first_layer_acceleration_over_raft`},
	{outcome: None, why: "filament is fed as it measures: correct filament_diameter", off: "1", names: `extrusion_multiplier`},
	{outcome: None, why: "small contours are slowed by min_layer_time, and by nothing else", zero: true, names: `small_perimeter_speed`},
	{outcome: None, why: "speeds are said one by one", zero: true, names: `
		max_print_speed over_bridge_speed filament_infill_max_speed filament_infill_max_crossing_speed`},
	{outcome: None, why: "the machine's own acceleration is for travel", zero: true, names: `
		travel_acceleration travel_short_distance_acceleration`},
	{outcome: None, why: "ways always lead through the inside, however long", off: "1", zero: true, names: `
		avoid_crossing_perimeters avoid_crossing_perimeters_max_detour avoid_crossing_curled_overhangs`},
	{outcome: None, why: "filament is drawn back before travel, all at once", zero: true, names: `
		retract_before_wipe retract_layer_change filament_retract_before_wipe filament_retract_layer_change`},
	{outcome: None, why: "the fan has its power from fan_from_layer on", zero: true, names: `full_fan_speed_layer`},
	{outcome: None, why: "there are as many walls on every layer as walls says", zero: true, off: "none", names: `
		extra_perimeters extra_perimeters_on_overhangs top_one_perimeter_type only_one_perimeter_first_layer`},
	{outcome: None, why: "solid layers are as thick on slopes without it", zero: true, off: "partial enabled", names: `
		ensure_vertical_shell_thickness`},
	{outcome: None, why: "bridges are as high as their layer", zero: true, names: `thick_bridges`},
	{outcome: None, why: "infill comes after walls", off: "1", zero: true, names: `infill_first`},
	{outcome: None, why: "layers of infill are combined by infill_every_layers only", zero: true, names: `automatic_infill_combination`},
	{outcome: None, why: "layers of infill are combined by infill_every_layers only", needs: "automatic_infill_combination", names: `
		automatic_infill_combination_max_layer_height`},
	{outcome: None, why: "all surfaces that face up are ironed", off: "top", names: `ironing_type`},
	{outcome: None, why: "the layers of a raft are alike but for height and width of lines", needs: "raft_layers", names: `
		raft_first_layer_density raft_first_layer_expansion`},
	{outcome: None, why: "support is what its own settings say, without this one", needs: "support_material", zero: true, names: `
		support_material_angle support_material_bottom_contact_distance support_material_closing_radius
		support_material_enforce_layers support_material_interface_contact_loops support_material_interface_pattern
		support_material_synchronize_layers support_tree_angle_slow support_tree_branch_diameter_double_wall
		support_tree_top_rate`},
	{outcome: None, why: "the chamber is not heated by a profile", zero: true, names: `
		chamber_temperature chamber_minimal_temperature`},
}
