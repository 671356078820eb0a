;FLAVOR:Marlin
;TIME:240
;Filament used: 0.012m
;Layer height: 0.2
;MINX:100
;Generated with Cura_SteamEngine (words as in 5.6)
M140 S50
M105
M190 S50
M104 S200
M105
M109 S200
M82 ;absolute extrusion mode
; Ender 3 Custom Start G-code
G92 E0 ; Reset Extruder
G28 ; Home all axes
G1 Z2.0 F3000 ; Move Z Axis up little to prevent scratching of Heat Bed
G1 X0.1 Y20 Z0.3 F5000.0 ; Move to start position
G1 X0.1 Y200.0 Z0.3 F1500.0 E15 ; Draw the first line
G1 X0.4 Y200.0 Z0.3 F5000.0 ; Move to side a little
G1 X0.4 Y20 Z0.3 F1500.0 E30 ; Draw the second line
G92 E0 ; Reset Extruder
G1 Z2.0 F3000 ; Move Z Axis up little to prevent scratching of Heat Bed
G1 X5 Y20 Z0.3 F5000.0 ; Move over to prevent blob squish
G92 E0
G92 E0
G1 F2700 E-5
;LAYER_COUNT:2
;LAYER:0
M107
M204 S5000
G0 F6000 X104.785 Y105.019 Z0.2
M204 S500
;TYPE:SKIRT
G1 F2700 E0
G1 F1200 X105.5 Y104.5 E0.02938
G1 X115.5 Y104.5 E0.36196
;TYPE:WALL-OUTER
G1 X115.5 Y114.5 E0.69454
;MESH:NONMESH
G0 F300 X115.5 Y114.5 Z0.4
;TIME_ELAPSED:120.5
;LAYER:1
M106 S85
;TYPE:FILL
G1 F2400 X105.5 Y104.5 E1.16487
G1 F2700 E-3.83513
;TIME_ELAPSED:240.0
M140 S0
M106 S0
G91 ;Relative positioning
G1 E-2 F2700 ;Retract a bit
G1 E-2 Z0.2 F2400 ;Retract and raise Z
G1 X5 Y5 F3000 ;Wipe out
G1 Z10 ;Raise Z more
G90 ;Absolute positioning
G1 X0 Y220 ;Present print
M106 S0 ;Turn-off fan
M104 S0 ;Turn-off hotend
M140 S0 ;Turn-off bed
M84 X Y E ;Disable all steppers but Z
M82 ;absolute extrusion mode
M104 S0
;End of Gcode
;SETTING_3 {"global_quality": "[general]\\nversion = 4\\n"}
