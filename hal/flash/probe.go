package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"platen/hal/flash/loader"
)

// How long a firmware has to answer. Its bootloader may come first, and one that hears
// anything stays a while longer: so a question is not repeated often.
const (
	probeGreeting = 3 * time.Second
	probeAnswer   = 5 * time.Second
	probeTries    = 6
)

// maxAnswer bounds the line that is taken for a firmware's name.
const maxAnswer = 512

// Ask returns a probe that opens the line at the firmware's own rate, sends a line, and
// takes the first line of the answer that begins with a prefix: "M115" and
// "FIRMWARE_NAME:", or "$I" and "[VER:" of GRBL. Nothing protects that line, so it is
// asked until it comes twice alike.
func Ask(link loader.Link, baud int, question, prefix string) func(context.Context) (string, error) {
	return func(ctx context.Context) (text string, err error) {
		p, err := link.Open(ctx, loader.Mode{Baud: baud})
		if err != nil {
			return "", err
		}
		defer p.Close() // the line carried nothing that counts
		l := loader.NewLine(p)
		// It says something when it has started, if opening the line has restarted it.
		_, err = l.Message(ctx, probeGreeting, lineWith(""))
		if err != nil && !errors.Is(err, loader.ErrLine) {
			return "", err
		}
		for range probeTries {
			if err := l.Send([]byte(question + "\n")); err != nil {
				return "", err
			}
			m, err := l.Message(ctx, probeAnswer, lineWith(prefix))
			if errors.Is(err, loader.ErrLine) {
				continue
			}
			if err != nil {
				return "", err
			}
			before := text
			if text = string(bytes.TrimSpace(m)); text == before {
				return text, nil
			}
		}
		return "", fmt.Errorf("no answer to %s at %d baud that comes twice alike: %w", question, baud, loader.ErrSilent)
	}
}

// lineWith finds a whole line with a prefix.
func lineWith(prefix string) loader.Split {
	return func(buf []byte) (skip, size int) {
		for {
			end := bytes.IndexByte(buf[skip:], '\n')
			if end < 0 {
				if len(buf)-skip > maxAnswer {
					skip = len(buf)
				}
				return skip, 0
			}
			if end > 0 && bytes.HasPrefix(buf[skip:], []byte(prefix)) {
				return skip, end + 1
			}
			skip += end + 1
		}
	}
}
