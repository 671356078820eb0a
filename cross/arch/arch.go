// Package arch holds the plan of the house as data: which package may import
// which, who alone may touch which outside module, and what the device binary is
// made of. Its tests hold the source tree against the plan; a package without a
// row fails, so that a new room is entered in the plan before it is built.
//
// To add a room, add a [Rule] to [Rules]. To let the device binary grow, run
// the tests with -update and have the change of testdata/platen.deps reviewed.
package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is the path of the module whose packages the rules are about.
const Module = "platen"

// Rule says what packages of ours a package may import. Patterns are package paths
// relative to the module; a pattern ending in "/..." also covers everything below.
type Rule struct {
	Package string   // pattern of the importing package
	May     []string // patterns of packages of ours it may import
	Never   []string // patterns of standard packages it must not import
}

// pure lists what a package of plain data has no business with.
var pure = []string{"net/...", "os/...", "syscall", "io/fs", "unsafe"}

// noReach lists what keeps a package away from network and other processes.
var noReach = []string{"net/...", "os/exec"}

// Rules is the import table. The first rule whose Package matches counts.
var Rules = []Rule{
	{Package: "hal/unit", Never: pure},
	{Package: "hal/motion", May: []string{"hal/unit"}, Never: pure},
	{Package: "hal", May: []string{"hal/unit", "hal/motion"}, Never: pure},
	{Package: "hal/cmd/platen-sim", May: []string{"hal/...", "agent/cli"}},
	{Package: "hal/haltest", May: []string{"hal/..."}},
	{Package: "hal/sim", May: []string{"hal/unit", "hal/motion"}},
	{Package: "hal/sim/bootloader"},
	{Package: "hal/flash", May: []string{"hal", "hal/serial", "hal/sensor/gpio", "hal/flash/...", "updater/slot"}, Never: noReach},
	{Package: "hal/flash/loader", Never: noReach},
	{Package: "hal/flash/...", May: []string{"hal/flash/loader"}, Never: noReach},
	{Package: "hal/driver", May: []string{"hal", "hal/unit", "hal/motion", "hal/gcode"}, Never: noReach},
	{Package: "hal/gcodefile", May: []string{"hal", "hal/unit", "hal/motion", "hal/envelope"}, Never: noReach},
	{Package: "hal/marlin", May: []string{"hal", "hal/unit", "hal/motion", "hal/gcode", "hal/driver"}, Never: noReach},
	{Package: "hal/repetier", May: []string{"hal", "hal/unit", "hal/motion", "hal/gcode", "hal/driver"}, Never: noReach},
	{Package: "hal/reprap", May: []string{"hal", "hal/unit", "hal/motion", "hal/gcode", "hal/driver"}, Never: noReach},
	{Package: "hal/grbl", May: []string{"hal", "hal/unit", "hal/motion", "hal/gcode", "hal/driver"}, Never: noReach},
	{Package: "hal/selftest", May: []string{"hal", "hal/unit", "hal/motion", "hal/envelope"}, Never: noReach},
	{Package: "hal/sensor/...", May: []string{"hal", "hal/unit", "hal/sensor"}, Never: noReach},
	{Package: "hal/...", May: []string{"hal", "hal/unit", "hal/motion"}, Never: noReach},

	{Package: "slicer/cmd/platen-slice", May: []string{"slicer/...", "hal/unit", "hal/motion", "hal/gcode", "agent/cli"}},
	{Package: "slicer/...", May: []string{"slicer/...", "hal/unit", "hal/motion"}, Never: noReach},

	{Package: "boards", May: []string{"hal/unit", "hal/motion", "hal/envelope", "hal/gcodefile", "hal/watch", "hal/sensor/...", "hal/flash/loader"}, Never: noReach},

	{Package: "updater/slot"},
	{Package: "updater/keyfile", Never: noReach},
	{Package: "updater/approval", May: []string{"updater/keyfile"}, Never: noReach},
	{Package: "updater/delta", Never: pure},
	{Package: "updater/paper", Never: noReach},
	{Package: "updater", May: []string{"updater/slot", "updater/delta"}},
	{Package: "updater/cmd/platen-ota", May: []string{"updater/...", "agent/cli"}},
	{Package: "updater/updatertest", May: []string{"updater", "updater/slot", "updater/boot"}},
	{Package: "updater/role", May: []string{"updater"}},
	{Package: "updater/publish", May: []string{"updater", "updater/approval", "updater/delta", "updater/keyfile", "updater/role", "updater/slot", "updater/translog"}},
	{Package: "updater/translog", May: []string{"updater"}, Never: noReach},
	{Package: "updater/boot/bootscript", May: []string{"updater/boot/rpi", "updater/slot"}},
	{Package: "updater/boot/boottest", May: []string{"updater/boot", "updater/boot/...", "updater/slot"}},
	{Package: "updater/...", May: []string{"updater", "updater/role", "updater/slot", "updater/translog", "updater/trust", "updater/boot"}},

	{Package: "agent/cli"},
	{Package: "agent/console", Never: []string{"net/..."}},
	{Package: "agent/durable", Never: noReach},
	{Package: "agent/seam", Never: pure},
	{Package: "agent/seam/link", May: []string{"agent/seam"}, Never: noReach},
	{Package: "agent/catalog", Never: pure},
	{Package: "agent/evidence", Never: pure},
	{Package: "agent/config", May: []string{"agent/consent", "updater/approval"}, Never: noReach},
	{Package: "agent/confine", Never: []string{"os/exec"}},
	{Package: "agent/marker", May: []string{"agent/durable", "agent/seam"}, Never: noReach},
	{Package: "agent/audit", May: []string{"agent/evidence", "updater/slot"}, Never: noReach},
	{Package: "agent/cmd/auditcmd", May: []string{"agent/audit", "agent/cli", "agent/evidence"}},
	{Package: "agent/spool", May: []string{"updater/slot"}, Never: noReach},
	{Package: "agent/mirror", May: []string{"agent/evidence", "updater/slot"}, Never: noReach},
	{Package: "agent/consent", May: []string{"updater/keyfile", "agent/audit", "agent/catalog", "agent/durable", "agent/evidence"}, Never: noReach},
	{Package: "agent/intake", May: []string{"agent/durable", "agent/seam/link"}},
	{Package: "agent/intake/fetch"},
	{Package: "agent/intake/stick", Never: noReach},
	{Package: "agent/intake/stick/sticktest", Never: noReach},
	{Package: "agent/intake/queue", May: []string{"agent/intake", "agent/intake/fetch"}},
	{Package: "agent/attest", May: []string{"agent/durable", "agent/evidence", "updater/approval"}},
	{Package: "agent/telemetry/...", May: []string{"agent/telemetry", "agent/spool", "agent/catalog", "agent/consent", "agent/durable", "agent/evidence", "agent/seam", "hal"}},
	{Package: "agent/uplink", May: []string{"agent/evidence", "agent/catalog", "agent/consent", "agent/telemetry", "agent/uplink/acme"}},
	{Package: "agent/uplink/acme"},
	{Package: "agent/session", May: []string{"hal/...", "slicer/...", "boards", "agent/catalog", "agent/seam", "agent/seam/link", "agent/confine"}, Never: noReach},
	{Package: "agent/pid1/newc", Never: noReach},
	{Package: "agent/pid1/dhcp"},
	{Package: "agent/pid1/dm", Never: noReach},
	{Package: "agent/pid1/volume", May: []string{"agent/attest", "agent/pid1/dm", "updater/approval"}, Never: noReach},
	{Package: "agent/pid1", May: []string{"agent/console", "agent/pid1/...", "hal/watchdog", "updater/approval", "updater/slot"}},
	{Package: "agent/cmd/platen-init", May: []string{"agent/pid1"}},
	{Package: "agent/fleet/releases", May: []string{"agent/durable", "agent/fleet/verify", "updater", "updater/trust"}},
	{Package: "agent/fleet/...", May: []string{"updater/keyfile", "agent/fleet/...", "agent/durable", "agent/evidence", "agent/catalog"}},
	{Package: "agent/cmd/platen-fleet", May: []string{"updater/approval", "agent/fleet/...", "agent/cmd/auditcmd", "agent/evidence", "agent/catalog", "agent/consent", "agent/intake", "agent/cli"}},
	{Package: "agent/cmd/platen", May: []string{
		"agent", "agent/attest", "agent/cmd/auditcmd", "agent/mirror", "agent/spool", "agent/catalog", "agent/cli", "agent/config", "agent/confine", "agent/consent", "agent/evidence",
		"agent/intake", "agent/intake/stick", "agent/seam/...", "agent/session", "agent/telemetry/...", "agent/uplink", "boards", "hal/...", "slicer/plate", "slicer/profile", "slicer/vault",
		"slicer/pack", "slicer/secure", "slicer/vault", "updater", "updater/approval", "updater/boot", "updater/boot/...", "updater/slot", "updater/trust"}},
	{Package: "agent", May: []string{
		"agent/attest", "agent/audit", "agent/mirror", "agent/spool", "agent/catalog", "agent/cli", "agent/config", "agent/confine", "agent/consent", "agent/durable", "agent/evidence", "agent/intake", "agent/intake/fetch", "agent/intake/queue", "agent/intake/stick",
		"agent/marker", "agent/seam/...", "agent/telemetry/...", "agent/uplink", "boards", "hal", "hal/unit", "hal/watch", "hal/watchdog",
		"updater", "updater/approval", "updater/boot", "updater/boot/...", "updater/slot", "updater/translog", "updater/trust"}},

	{Package: "cross/arch"},
	{Package: "cross/...", May: []string{"cross/...", "agent/...", "hal/...", "slicer/...", "updater/...", "boards"}},
}

// Owners says which packages of ours alone may import an outside module.
var Owners = map[string][]string{
	"github.com/eclipse/paho.golang":          {"agent/uplink", "agent/fleet/ingest"},
	"github.com/google/go-tpm":                {"agent/attest", "agent/fleet/verify"},
	"github.com/theupdateframework/go-tuf/v2": {"updater/role", "updater/trust", "updater/publish"},
	"github.com/tarm/serial":                  {"hal/serial"},
	"github.com/shirou/gopsutil/v3":           {"agent/telemetry/host"},
	"github.com/mochi-mqtt/server/v2":         {"agent/fleet/...", "cross/rig/stage"},
	"github.com/landlock-lsm/go-landlock":     {"agent/confine"},
	"filippo.io/age":                          {"agent/intake", "agent/session", "updater/publish"},
	"github.com/spf13/cobra":                  {"agent/cli", "agent/cmd/...", "hal/cmd/...", "slicer/cmd/...", "updater/cmd/...", "cross/..."},
	"github.com/BurntSushi/toml":              {"boards", "agent/config", "cross/..."},
}

// NeverInDevice lists packages of ours and outside ones that the device binary
// must not contain, whatever its golden list says.
var NeverInDevice = []string{
	"platen/agent/fleet/...", "platen/agent/intake/stick/sticktest", "platen/updater/publish", "platen/updater/updatertest", "platen/updater/boot/boottest", "platen/updater/boot/bootscript", "platen/hal/sim/...", "platen/hal/haltest",
	"platen/cross/...", "testing", "testing/...", "github.com/mochi-mqtt/...", "pgregory.net/rapid", "github.com/rogpeppe/...",
}

// Package is what a check needs to know of a package: its path, and what it
// imports outside of its tests. Test imports are held against Owners and Never no
// more than against the table: a test may reach for the other end of its room.
type Package struct {
	ImportPath string
	Imports    []string
}

// Check holds packages against Rules and Owners and returns a sentence for each
// violation.
func Check(pkgs []Package) []string {
	var bad []string
	for _, p := range pkgs {
		rel := relative(p.ImportPath)
		rule, ok := ruleFor(rel)
		if !ok {
			bad = append(bad, fmt.Sprintf("%s has no row in the import table: add one to cross/arch", rel))
			continue
		}
		for _, imp := range p.Imports {
			if why := checkImport(rule, rel, imp); why != "" {
				bad = append(bad, fmt.Sprintf("%s imports %s: %s", rel, imp, why))
			}
		}
	}
	return bad
}

func checkImport(rule Rule, rel, imp string) string {
	if imp == Module || strings.HasPrefix(imp, Module+"/") {
		if !matchAny(rule.May, relative(imp)) {
			return "its row does not allow it"
		}
		return ""
	}
	for module, owners := range Owners {
		if match(module+"/...", imp) && !matchAny(owners, rel) {
			return fmt.Sprintf("only %s may use %s", strings.Join(owners, " and "), module)
		}
	}
	if matchAny(rule.Never, imp) {
		return "its row forbids it"
	}
	return ""
}

// CheckDevice returns a sentence for each dependency that the device binary must
// not have.
func CheckDevice(deps []string) []string {
	var bad []string
	for _, d := range deps {
		if matchAny(NeverInDevice, d) {
			bad = append(bad, "the device binary links "+d)
		}
	}
	return bad
}

func ruleFor(rel string) (Rule, bool) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return match(r.Package, rel) })
	if i < 0 {
		return Rule{}, false
	}
	return Rules[i], true
}

func relative(importPath string) string {
	return strings.TrimPrefix(path.Clean(importPath), Module+"/")
}

func matchAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pat string) bool { return match(pat, p) })
}

func match(pattern, p string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return p == base || below && strings.HasPrefix(p, base+"/")
}
