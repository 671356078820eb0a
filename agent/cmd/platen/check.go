package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/intake"
	"platen/boards"
	"platen/hal/bgcode"
	"platen/hal/gcodefile"
	"platen/slicer/plate"
	"platen/slicer/vault"
)

// verdict is what platen check says of a file.
type verdict struct {
	Accepted bool   `json:"accepted"`
	Board    string `json:"board"`
	Plate    int    `json:"plate,omitempty"`
	Lines    int    `json:"lines,omitempty"`
	Layers   int32  `json:"layers,omitempty"`
	Line     int    `json:"line,omitempty"`
	Code     string `json:"code,omitempty"`
	Error    string `json:"error,omitempty"`
}

func checkCmd() *cobra.Command {
	var board string
	var plateNo uint8
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check whether a board can print a G-code file, and name the line if not",
		Long: `Check whether a board can print a G-code file (.gcode, .bgcode, .gcode.3mf), as a session does before it
heats anything. A file that is refused is refused with the number of the first line that cannot be, and why.

Without --board it is the board of the configuration; a name that ends in .toml is a board file.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := boardOf(board)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
				return fmt.Errorf("not checked: %s is no file that can be read twice: save it as one", args[0])
			}
			if intake.IsSealed(f) {
				return cli.Usage("the file is sealed: only the printer it is for can check it")
			}
			return judged(c, f, b, int(plateNo))
		},
	}
	c.Flags().StringVar(&board, "board", "", "id of a board, or a board file")
	c.Flags().Uint8Var(&plateNo, "plate", 0, "plate of a .gcode.3mf file that has several")
	return c
}

// judged checks a file and prints the verdict.
func judged(c *cobra.Command, f *os.File, b *boards.Board, number int) error {
	s, number, err := checkFile(f, b, number)
	v := verdict{Accepted: err == nil, Board: b.ID, Plate: number, Lines: s.Lines, Layers: s.Layers}
	if err == nil {
		return cli.Print(c, v, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "accepted: %d lines, %d layers\n", s.Lines, s.Layers)
			return err
		})
	}
	if v.Error = err.Error(); cli.OutputOf(c) != cli.Text {
		if r, ok := errors.AsType[*gcodefile.Refusal](err); ok {
			v.Line, v.Code = r.Line, r.ErrorCode()
		}
		cli.Print(c, v, nil)
	}
	return fmt.Errorf("refused: %w", err)
}

// boardOf loads a board by its id or its file; "" is that of the configuration.
func boardOf(name string) (*boards.Board, error) {
	if name == "" {
		c, err := config.Load(configPath)
		if err != nil {
			return nil, fmt.Errorf("%w; or give a board, --board ID", err)
		}
		name = c.Board
	}
	return boards.Open(name)
}

// errNoGCode reports a file that is something else.
var errNoGCode = errors.New("the file is no G-code: models are sliced on the printer, see platen-slice inspect")

// errNothing reports G-code that does nothing.
var errNothing = errors.New("there is no command in the file: export it again")

// checkFile reads f from its beginning as a session does, and of a package one plate.
func checkFile(f *os.File, b *boards.Board, number int) (s gcodefile.Summary, plateNo int, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return s, 0, err
	}
	buffered := bufio.NewReader(f)
	head, err := buffered.Peek(512)
	if err != nil && err != io.EOF {
		return s, 0, err
	}
	r := io.Reader(buffered)
	switch {
	case plate.Is(head):
		var done func() error
		if r, plateNo, done, err = plateOf(buffered, f, number); err != nil {
			return s, 0, err
		}
		defer func() { err = errors.Join(err, done()) }()
	case bgcode.Is(head):
		if r, err = bgcode.NewReader(buffered, make([]byte, bgcode.Memory)); err != nil {
			return s, 0, err
		}
	case !gcodefile.Looks(head):
		return s, 0, errNoGCode
	}
	s, err = gcodefile.Check(r, b.GCode())
	if err == nil && s.Ops == 0 {
		err = errNothing
	}
	return s, plateNo, err
}

// plateMemory is enough to read a package with as many parts as one may have.
const plateMemory = 2 << 20

// plateOf reads a plate of a package; done gives the memory back.
func plateOf(r io.Reader, f *os.File, number int) (_ io.Reader, plateNo int, done func() error, err error) {
	st, err := f.Stat()
	if err != nil {
		return nil, 0, nil, err
	}
	if st.Size() > maxPackage {
		return nil, 0, nil, fmt.Errorf("the file is larger than %d MiB: no printer takes it", maxPackage>>20)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, nil, err
	}
	v, err := vault.NewPageable(plateMemory)
	if err != nil {
		return nil, 0, nil, err
	}
	p, err := plate.Open(v, data)
	switch {
	case err == nil && p == nil:
		err = errNoGCode
	case err == nil:
		if plateNo, err = p.Choose(number); err == nil {
			return p.Reader(plateNo), plateNo, v.Close, nil
		}
		err = fmt.Errorf("%w: it has %s; use --plate", err, listed(p.Numbers()))
	}
	return nil, 0, nil, errors.Join(err, v.Close())
}

// maxPackage is the largest package that is looked into.
const maxPackage = 1 << 30

// listed writes numbers one after the other.
func listed(numbers []int) string {
	text := make([]string, len(numbers))
	for i, n := range numbers {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ", ")
}

// named adds to the refusal of a G-code file in clear which line it is, for the owner
// who holds the file: session and agent tell nobody more than a code. A refusal that
// has nothing to do with a line stays as it is.
func named(f *os.File, number int, text string, err error) (string, error) {
	b, berr := boardOf("")
	if berr != nil {
		return text, err
	}
	_, _, cerr := checkFile(f, b, number)
	if errors.Is(cerr, plate.ErrChoose) {
		return cerr.Error(), cerr
	}
	if r, ok := errors.AsType[*gcodefile.Refusal](cerr); ok {
		err = fmt.Errorf("refused: %w", r)
		return err.Error(), err
	}
	return text, err
}
