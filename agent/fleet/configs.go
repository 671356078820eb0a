package fleet

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"platen/agent/evidence"
)

// configs is the list of configurations that printers may run with: lines as sha256sum writes
// them, read again when the file changes. A line whose file is called by a printer's id, with or
// without an ending, is for that printer alone, which then may run with no others. It is a
// verify.Configurations.
type configs struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	stamp time.Time
	size  int64
	known sums
}

// sums are digests by printer; those of the zero id are for every printer without any of its own.
type sums map[evidence.PrinterID]map[[32]byte]bool

// openConfigs reads the list in a file.
func openConfigs(path string, log *slog.Logger) (*configs, error) {
	c := &configs{path: path, log: log}
	return c, c.read()
}

// Known reports whether the list has a digest for a printer. A list that cannot be read any more stays what
// it was.
func (c *configs) Known(printer evidence.PrinterID, config [32]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err != nil {
		c.log.Warn("the list of configurations is refused; those known stay known", "error", err)
	}
	if own, ok := c.known[printer]; ok {
		return own[config]
	}
	return c.known[evidence.PrinterID{}][config]
}

func (c *configs) read() error {
	fi, err := os.Stat(c.path)
	if err != nil {
		return fmt.Errorf("read the list of configurations: %w", err)
	}
	if fi.ModTime().Equal(c.stamp) && fi.Size() == c.size {
		return nil
	}
	known, err := readSums(c.path)
	c.stamp, c.size = fi.ModTime(), fi.Size() // one that is no list is looked at again when it changes
	if err != nil {
		return fmt.Errorf("read the list of configurations: %w", err)
	}
	c.known = known
	return nil
}

func readSums(path string) (sums, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	known := sums{}
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		text, file, _ := strings.Cut(strings.TrimSpace(sc.Text()), " ")
		if text == "" || text[0] == '#' {
			continue
		}
		d, err := hex.DecodeString(text)
		if err != nil || len(d) != 32 {
			return nil, fmt.Errorf("%s:%d: not a line of sha256sum", path, n)
		}
		printer, err := printerOf(strings.TrimLeft(file, " *"))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: the name of the file is nearly a printer's id, and would count for every printer: %w", path, n, err)
		}
		if known[printer] == nil {
			known[printer] = map[[32]byte]bool{}
		}
		known[printer][[32]byte(d)] = true
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if len(known) == 0 {
		return nil, errors.New("it is empty")
	}
	return known, nil
}

// printerOf is the printer that a line is for by the name of its file, the zero id for all of them.
// What has about the length of an id, and nothing that an id has not, is one that was mistyped.
func printerOf(file string) (evidence.PrinterID, error) {
	file = filepath.Base(file)
	name := strings.TrimSuffix(file, filepath.Ext(file))
	printer, err := evidence.ParsePrinterID(name)
	if err == nil {
		return printer, nil
	}
	off := len(name) - len(printer.String())
	word := !strings.ContainsFunc(name, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
	if word && -3 < off && off < 3 {
		return evidence.PrinterID{}, err
	}
	return evidence.PrinterID{}, nil
}
