package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/intake"
	"platen/boards"
	"platen/hal/bgcode"
	"platen/hal/gcodefile"
)

// verdict is what platen check says of a file.
type verdict struct {
	Accepted bool   `json:"accepted"`
	Board    string `json:"board"`
	Lines    int    `json:"lines,omitempty"`
	Layers   int32  `json:"layers,omitempty"`
	Line     int    `json:"line,omitempty"`
	Code     string `json:"code,omitempty"`
	Error    string `json:"error,omitempty"`
}

func checkCmd() *cobra.Command {
	var board string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check whether a board can print a G-code file, and name the line if not",
		Long: `Check whether a board can print a G-code file (.gcode, .bgcode), as a session does before it heats
anything. A file that is refused is refused with the number of the first line that cannot be, and why.

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
			s, err := checkFile(f, b)
			v := verdict{Accepted: err == nil, Board: b.ID, Lines: s.Lines, Layers: s.Layers}
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
		},
	}
	c.Flags().StringVar(&board, "board", "", "id of a board, or a board file")
	return c
}

// boardOf loads a board by its id or its file; "" is that of the configuration.
func boardOf(name string) (*boards.Board, error) {
	if strings.HasSuffix(name, ".toml") {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return boards.Parse(filepath.Base(name), text)
	}
	if name == "" {
		c, err := config.Load(configPath)
		if err != nil {
			return nil, fmt.Errorf("%w; or give a board, --board ID", err)
		}
		name = c.Board
	}
	return boards.Load(name)
}

// errNoGCode reports a file that is something else.
var errNoGCode = errors.New("the file is no G-code: models are sliced on the printer, see platen-slice inspect")

// errNothing reports G-code that does nothing.
var errNothing = errors.New("there is no command in the file: export it again")

// checkFile reads f from its beginning as a session does.
func checkFile(f *os.File, b *boards.Board) (gcodefile.Summary, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return gcodefile.Summary{}, err
	}
	buffered := bufio.NewReader(f)
	head, err := buffered.Peek(512)
	if err != nil && err != io.EOF {
		return gcodefile.Summary{}, err
	}
	r := io.Reader(buffered)
	switch {
	case bgcode.Is(head):
		if r, err = bgcode.NewReader(buffered, make([]byte, bgcode.Memory)); err != nil {
			return gcodefile.Summary{}, err
		}
	case !gcodefile.Looks(head):
		return gcodefile.Summary{}, errNoGCode
	}
	s, err := gcodefile.Check(r, b.GCode())
	if err == nil && s.Ops == 0 {
		err = errNothing
	}
	return s, err
}

// named adds to the refusal of a G-code file in clear which line it is, for the owner
// who holds the file: session and agent tell nobody more than a code. A refusal that
// has nothing to do with a line stays as it is.
func named(f *os.File, text string, err error) (string, error) {
	b, berr := boardOf("")
	if berr != nil {
		return text, err
	}
	_, cerr := checkFile(f, b)
	if r, ok := errors.AsType[*gcodefile.Refusal](cerr); ok {
		err = fmt.Errorf("refused: %w", r)
		return err.Error(), err
	}
	return text, err
}
