package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/catalog"
	"platen/agent/cli"
	"platen/agent/evidence"
	"platen/agent/intake"
)

func mirrorCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "mirror",
		Short: "Read what was sent, as it was sent",
		Long: `Every message that leaves the printer is first kept for its owner: the newest 7 MiB and more for each recipient,
less on a full disk. The sequence number of the first frame tells where that begins, and so does "platen-fleet verify". "platen mirror export" writes the frames
that one recipient was sent to a file, byte for byte as they were on the wire; "platen mirror show" says what is in them,
anywhere, and "platen-fleet verify" checks them.`,
	}
	c.AddCommand(mirrorExportCmd(), mirrorShowCmd())
	return c
}

func mirrorExportCmd() *cobra.Command {
	return &cobra.Command{
		Use: "export RECIPIENT FILE", Short: "Write what a recipient was sent to a new file", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return intoFile(c, args[1], intake.Request{Op: intake.OpMirror, Recipient: args[0]})
		},
	}
}

// sentFrame is a frame as "platen mirror show" prints it.
type sentFrame struct {
	Recipient evidence.RecipientID `json:"recipient"`
	Boot      uint64               `json:"boot"`
	Sequence  uint64               `json:"sequence"`
	First     uint64               `json:"first"`   // message
	Dropped   uint64               `json:"dropped"` // messages before it
	Messages  []sentMessage        `json:"messages"`
}

// sentMessage is one message of it.
type sentMessage struct {
	At    time.Time   `json:"at"`
	Items []sentValue `json:"items"`
}

// sentValue is one item of it.
type sentValue struct {
	Name  string       `json:"name"`
	Value int64        `json:"value"`
	Unit  catalog.Unit `json:"unit"`
}

func mirrorShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Say what is in the frames of an exported mirror", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			var all []sentFrame
			for wire := make([]byte, evidence.WireSize); ; {
				if _, err := io.ReadFull(f, wire); err == io.EOF {
					break
				} else if err != nil {
					return fmt.Errorf("%s does not consist of whole frames: %w", args[0], err)
				}
				frame, err := showFrame(wire)
				if err != nil {
					return fmt.Errorf("frame %d of %s: %w", len(all)+1, args[0], err)
				}
				all = append(all, frame)
			}
			return cli.Print(c, all, func(w io.Writer) error { return printFrames(w, all) })
		},
	}
}

// showFrame decodes a frame.
func showFrame(wire []byte) (sentFrame, error) {
	b, err := evidence.Decode(wire)
	if err != nil {
		return sentFrame{}, err
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		return sentFrame{}, err
	}
	out := sentFrame{Recipient: h.Recipient, Boot: h.Boot, Sequence: h.Seq, First: h.First, Dropped: h.Dropped, Messages: []sentMessage{}}
	for _, raw := range b.Msgs {
		m, err := catalog.Decode(raw)
		if err != nil {
			return out, err
		}
		msg := sentMessage{At: m.At}
		for _, v := range m.Values {
			msg.Items = append(msg.Items, sentValue{v.Item.Name, v.Value, v.Item.Unit})
		}
		out.Messages = append(out.Messages, msg)
	}
	return out, nil
}

func printFrames(w io.Writer, all []sentFrame) error {
	for _, f := range all {
		if _, err := fmt.Fprintf(w, "boot %d, frame %d, %d messages from %d on, %d lost before them\n", f.Boot, f.Sequence, len(f.Messages), f.First, f.Dropped); err != nil {
			return err
		}
		for _, m := range f.Messages {
			if _, err := fmt.Fprintf(w, "  %s\n", m.At.UTC().Format(time.RFC3339)); err != nil {
				return err
			}
			for _, v := range m.Items {
				if _, err := fmt.Fprintf(w, "    %-24s %d %s\n", v.Name, v.Value, v.Unit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
