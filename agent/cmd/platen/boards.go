package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/boards"
	"platen/hal/envelope"
	"platen/hal/unit"
)

func boardsCmd() *cobra.Command {
	list := func(c *cobra.Command, _ []string) error { return listBoards(c) }
	c := &cobra.Command{
		Use: "boards", Short: "List the boards this release knows, show one, or check a file of your own", Args: cobra.NoArgs, RunE: list,
		Long: `Lists the boards this release knows.

A board of your own is a file, and needs no other release: start from the nearest,

    platen boards show rpi4-skr-mini-e3-v3 --file > mine.toml

give it the id "mine", change what differs, check it with "platen boards check mine.toml", and name it in the
configuration: board = "mine.toml". Editors take the schema that "platen boards schema" prints.`,
	}
	c.AddCommand(&cobra.Command{Use: "list", Short: "List the boards this release knows", Args: cobra.NoArgs, RunE: list},
		showBoardCmd(), checkBoardCmd(), &cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of board files", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				_, err := c.OutOrStdout().Write(boards.Schema())
				return err
			},
		})
	return c
}

// boardView is a board as platen boards prints it.
type boardView struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Targets  []string  `json:"targets"`
	Tried    string    `json:"tried,omitempty"`
	SoC      string    `json:"soc,omitempty"`
	Cores    int       `json:"cores,omitempty"`
	RAM      int64     `json:"ram_bytes,omitempty"`
	Dialect  string    `json:"dialect"`
	Device   string    `json:"device,omitempty"`
	Baud     int       `json:"baud"`
	MCU      string    `json:"mcu,omitempty"`
	Flash    string    `json:"flash,omitempty"`
	Volume   [3]string `json:"volume"`
	HotEnd   string    `json:"hot_end,omitempty"`
	Bed      string    `json:"bed,omitempty"`
	TPM      string    `json:"tpm,omitempty"`
	Watchdog string    `json:"watchdog,omitempty"`
	Slots    string    `json:"slots"`
	Sensors  []string  `json:"sensors,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
	SHA256   string    `json:"sha256"`
}

func viewOf(b *boards.Board) boardView {
	v := boardView{
		ID: b.ID, Name: b.Name, Targets: b.Targets, Tried: b.Tried, SoC: b.Host.SoC, Cores: b.Host.Cores, RAM: b.Host.RAM, Dialect: b.Controller.Dialect, Device: b.Controller.Device,
		Baud: b.Controller.Baud, MCU: b.Controller.MCU, Flash: flashing(b), HotEnd: heat(b.Limits.HotEnd), Bed: heat(b.Limits.Bed),
		Slots: b.Slots.Root, Notes: b.Notes, SHA256: fmt.Sprintf("%x", b.Sum),
	}
	for i := range v.Volume {
		v.Volume[i] = fmt.Sprintf("%v to %v", b.Limits.Min[i], b.Limits.Max[i])
	}
	if b.TPM != "" {
		v.TPM = b.TPM
		if c := b.Chip; c.Part != "" {
			v.TPM += fmt.Sprintf(": %s on %s, chip select %d, %s", c.Part, c.Bus, c.Select, c.Overlay)
		}
	}
	if b.Dog.Device != "" {
		v.Watchdog = fmt.Sprintf("%s: %s, at most %v", b.Dog.Device, b.Dog.Driver, b.Dog.Max)
	}
	for _, s := range b.Sensors {
		v.Sensors = append(v.Sensors, s.Name+" ("+s.Kind+")")
	}
	return v
}

// flashing says how the controller's firmware is replaced.
func flashing(b *boards.Board) string {
	var ways []string
	if b.Flash.Method != "" {
		ways = append(ways, "platen controller flash ("+b.Flash.Method+")")
	}
	if b.Controller.ByHand != "" {
		ways = append(ways, "by hand: "+b.Controller.ByHand)
	}
	return strings.Join(ways, ", ")
}

// heat is what a heater may be set to; "" if there is none.
func heat(r envelope.Range) string {
	if r.Max == 0 {
		return ""
	}
	return fmt.Sprintf("%d to %d °C", r.Min/unit.Degree, r.Max/unit.Degree)
}

func listBoards(c *cobra.Command) error {
	var all []boardView
	for _, id := range boards.List() {
		b, err := boards.Load(id)
		if err != nil {
			return err
		}
		all = append(all, viewOf(b))
	}
	return cli.Print(c, all, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, v := range all {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.ID, strings.Join(v.Targets, " "), v.Dialect, v.Name)
		}
		return t.Flush()
	})
}

func showBoardCmd() *cobra.Command {
	var file bool
	c := &cobra.Command{
		Use: "show BOARD", Short: "Show a board, by its id or its file", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if file {
				text, err := boards.Text(args[0])
				if err == nil {
					_, err = c.OutOrStdout().Write(text)
				}
				return err
			}
			b, err := boards.Open(args[0])
			if err != nil {
				return err
			}
			v := viewOf(b)
			return cli.Print(c, v, func(w io.Writer) error { return v.write(w) })
		},
	}
	c.Flags().BoolVar(&file, "file", false, "print the file itself, with the source of each figure")
	return c
}

func (v *boardView) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", key, value)
		}
	}
	row("board", v.ID+": "+v.Name)
	row("tried", cmp.Or(v.Tried, "never on hardware"))
	row("targets", strings.Join(v.Targets, ", "))
	if v.SoC != "" {
		row("host", fmt.Sprintf("%s, cores: %d, RAM from %d MiB", v.SoC, v.Cores, v.RAM>>20))
	}
	row("controller", fmt.Sprintf("%s, %s at %d baud %s", v.Dialect, cmp.Or(v.Device, "device of the configuration"), v.Baud, v.MCU))
	row("firmware", v.Flash)
	for i, axis := range [...]string{"X", "Y", "Z"} {
		row(axis, v.Volume[i])
	}
	row("hot end", v.HotEnd)
	row("bed", v.Bed)
	row("tpm", cmp.Or(v.TPM, "none"))
	row("watchdog", cmp.Or(v.Watchdog, "unknown"))
	row("root", v.Slots)
	row("sensors", strings.Join(v.Sensors, ", "))
	for _, n := range v.Notes {
		row("note", n)
	}
	row("sha256", v.SHA256)
	return t.Flush()
}

// boardVerdict is what platen boards check says.
type boardVerdict struct {
	Accepted  bool     `json:"accepted"`
	ID        string   `json:"id,omitempty"`
	SHA256    string   `json:"sha256,omitempty"`
	Unsourced int      `json:"unsourced"`
	Missing   []string `json:"missing,omitempty"`
	Error     string   `json:"error,omitempty"`
}

func checkBoardCmd() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a board file", Args: cobra.ExactArgs(1),
		Long: `Checks a board file as the agent does: keys, units, that what it prints with lies inside of what it can do, and
each macro in the corners of its volume. It ends with 3 if it is in order but leaves out what platen doctor would
compare with the machine.`,
		RunE: func(c *cobra.Command, args []string) error {
			if !boards.IsFile(args[0]) {
				return cli.Usage("%q is not the name of a board file: it ends in .toml", args[0])
			}
			b, err := boards.Open(args[0])
			if err != nil {
				if cli.OutputOf(c) != cli.Text {
					cli.Print(c, boardVerdict{Error: err.Error()}, nil)
				}
				return err
			}
			text, err := boards.Text(args[0])
			if err != nil {
				return err
			}
			v := boardVerdict{Accepted: true, ID: b.ID, SHA256: fmt.Sprintf("%x", b.Sum), Unsourced: strings.Count(string(text), "unsourced"), Missing: missingOf(b)}
			return v.print(c)
		},
	}
}

// missingOf names the tables a board may have and has not.
func missingOf(b *boards.Board) []string {
	var missing []string
	for _, m := range []struct {
		name string
		has  bool
	}{{"host", b.Host.SoC != ""}, {"host.compatible", len(b.Host.Compatible) > 0}, {"watchdog", b.Dog.Device != ""}, {"tpm.part", b.TPM == "" || b.Chip.Part != ""}} {
		if !m.has {
			missing = append(missing, m.name)
		}
	}
	return missing
}

func (v *boardVerdict) print(c *cobra.Command) error {
	err := cli.Print(c, v, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "accepted: board %s, %d figures marked unsourced\n", v.ID, v.Unsourced)
		return err
	})
	if err == nil && len(v.Missing) > 0 {
		err = &cli.ExitError{Code: cli.ExitDegraded, Err: errors.New("it works, but does not say " + strings.Join(v.Missing, ", "))}
	}
	return err
}
