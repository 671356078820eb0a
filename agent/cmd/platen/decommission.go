package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"platen/agent"
	"platen/agent/cli"
	"platen/agent/intake"
)

// leaveTime bounds how long the command waits for the agent to be done.
const leaveTime = 5 * time.Minute

// leftView is what platen decommission prints.
type leftView struct {
	Receipt string `json:"receipt"` // file
	Keep    bool   `json:"kept_identity"`
}

func decommissionCmd() *cobra.Command {
	var keep, yes bool
	var to string
	c := &cobra.Command{
		Use: "decommission --yes [--keep-identity]", Aliases: []string{"reset"},
		Short: "Remove everything of the owner's, for the printer to be given away",
		Long: `Remove everything of the owner's from the printer: grants, audit log, unsent data, enrolments, approvals,
the record of printed copies, and from the TPM the number that all keys of the printer hang on. What was sealed to
it can be opened by nobody any more. The printer signs a receipt before the key that signs goes; whoever has it
checks it with platen-fleet receipt verify. Its fleet is told. Then the agent ends; started again it is a new
printer, with another id.

With --keep-identity it is a factory reset: the owner's data goes, identity, keys and the record of printed
copies stay, and the fleet takes the printer back without a claim code.

Neither removes the configuration, nor releases and the versions below which none may go.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				return cli.Usage("this cannot be undone: say --yes")
			}
			var at string
			r, err := ask(c.Context(), intake.Request{Op: intake.OpLeave, Keep: keep}, nil, func(r intake.Reply) {
				if r.Event != "" {
					at = r.Text
				}
			})
			if err != nil {
				return refused(c, r, err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), leaveTime)
			defer cancel()
			if err := awaitReceipt(ctx, at, to); err != nil {
				return err
			}
			v := leftView{Receipt: at, Keep: keep}
			if to != "" {
				v.Receipt = to
			}
			return cli.Print(c, v, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "done; the receipt is", v.Receipt)
				return err
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "really do it")
	c.Flags().BoolVar(&keep, "keep-identity", false, "keep the printer's identity and keys")
	c.Flags().StringVar(&to, "receipt", "", "copy the receipt to this file")
	return c
}

// awaitReceipt waits until the agent is done, and copies the receipt.
func awaitReceipt(ctx context.Context, at, to string) error {
	for agent.Leaves(filepath.Dir(at)) {
		select {
		case <-ctx.Done():
			return errors.New("the agent is not done yet: see its log, and start it again if it has ended: it goes on with it")
		case <-time.After(100 * time.Millisecond):
		}
	}
	b, err := os.ReadFile(at)
	if err != nil {
		return fmt.Errorf("reading the receipt: %w", err)
	}
	if to == "" {
		return nil
	}
	return os.WriteFile(to, b, 0o644)
}
