package console

import (
	"slices"
	"strings"
)

// Stdin is the one file that a command may be told to read: what came with the request.
const Stdin = "/proc/self/fd/0"

// command is what may stand behind a command's name.
type command struct {
	words int      // arguments that are no flag and name no file, at most
	file  bool     // an argument that has to be [Stdin] may follow
	flags []string // without a value, or with one if it ends in "=", or with "<" if that has to be Stdin
}

// always may stand behind every command.
var always = []string{"--output=", "-o=", "--help"}

// terms describe a grant, printing how a job is printed.
var (
	terms    = []string{"--recipient=", "--name=", "--profile=", "--printer=", "--period=", "--for=", "--only=", "--with="}
	printing = []string{"--detach", "--set=", "-s=", "--plate="}
)

// allowed is what the local socket lets do, and what reads nothing but the printer's state.
// Nothing here names a file, makes or uses a private key, or goes round the agent.
var allowed = map[string]command{
	"status":    {},
	"doctor":    {},
	"version":   {},
	"usage":     {}, // of an image's init, not of platen
	"boards":    {},
	"catalogue": {},
	"usb":       {},
	"recipient": {flags: []string{"--pq", "--3mf"}},

	"print":           {flags: append([]string{"--usb=", "--resume", "--yes"}, printing...)},
	"pause":           {},
	"resume":          {},
	"cancel":          {},
	"halt":            {},
	"selftest":        {flags: []string{"--clear"}},
	"skip":            {words: 1},
	"discard":         {flags: []string{"--yes"}},
	"recredit":        {file: true},
	"queue":           {},
	"queue print":     {words: 1, flags: printing},
	"queue drop":      {words: 1},
	"queue bed-clear": {},

	"enrol":           {words: 1, flags: []string{"--acme=", "--to="}},
	"consent request": {flags: terms},
	"consent grant":   {flags: append([]string{"--signed<"}, terms...)},
	"consent revoke":  {words: 1},
	"approve state":   {},
	"approve put":     {file: true},
	"update":          {flags: []string{"--usb"}},
	"update waiting":  {},
	"update approve":  {file: true},
	"update forgive":  {},
	"update repair":   {file: true, flags: []string{"--release="}},
	"decommission":    {flags: []string{"--yes", "--keep-identity"}},
}

// allows reports whether a console may run platen with args, of which there is at least one.
func allows(args []string) bool {
	c, ok, rest := command{}, false, args[1:]
	if len(rest) > 0 {
		if c, ok = allowed[args[0]+" "+rest[0]]; ok {
			rest = rest[1:]
		}
	}
	if !ok {
		if c, ok = allowed[args[0]]; !ok {
			return false
		}
	}
	for len(rest) > 0 {
		switch a := rest[0]; {
		case a[0] == '-':
			n := c.flag(rest)
			if n == 0 {
				return false
			}
			rest = rest[n:]
			continue
		case c.file && a == Stdin:
			c.file = false
		case c.words > 0:
			c.words--
		default:
			return false
		}
		rest = rest[1:]
	}
	return true
}

// flag is how many of args the flag takes that they begin with, 0 if it may not stand there.
func (c command) flag(args []string) int {
	name, value, has := strings.Cut(args[0], "=")
	may := func(kind string) bool {
		return slices.Contains(c.flags, name+kind) || slices.Contains(always, name+kind)
	}
	n := 1
	if !has && len(args) > 1 {
		value, n = args[1], 2
	}
	switch {
	case may(""):
		if has {
			return 0
		}
		return 1
	case !has && n == 1, may("=") && has && !strings.HasPrefix(name, "--"):
		return 0 // without a value; a short flag would take the "=" for a part of it
	case may("="), may("<") && value == Stdin:
		return n
	}
	return 0
}
