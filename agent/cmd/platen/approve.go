package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/config"
	"platen/agent/confine"
	"platen/agent/intake"
	"platen/updater/approval"
)

func approveCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "approve",
		Short: "Say in which states of the system sealed jobs may be opened",
		Long: `With approver_key in the configuration, the TPM opens sealed jobs only while this printer is in a state
that the approver has signed: with the firmware, the kernel and the agent that were started, and the configuration,
board file and controller's image that it runs with, as measured into PCRs 0, 4, 8, 9, 13 and 14. Releases bring
the approvals of their own states along (platen-ota approve). For a printer whose releases nobody approves, its owner can be the approver:

    platen approve keygen approver                         anywhere; approver.pub goes to the printer
    platen approve state > state.json                      at the printer, in the state to be approved
    platen approve sign state.json --key approver > ok.json  where the key is
    platen approve put ok.json                             at the printer

After every change of what is measured, an update as well, the state has to be approved again.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		Args: cobra.NoArgs,
	}
	c.AddCommand(approveKeygenCmd(), approveStateCmd(), approveSignCmd(), approvePutCmd())
	return c
}

func approveKeygenCmd() *cobra.Command {
	return &cobra.Command{
		Use: "keygen FILE", Short: "Make an approver's key: FILE, and FILE.pub for the printer", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := approval.GenerateKey(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.ErrOrStderr(), "%s and %s.pub made; keep the first one away from the printer\n", args[0], args[0])
			return err
		},
	}
}

func approveStateCmd() *cobra.Command {
	return &cobra.Command{
		Use: "state", Short: "Print the state that the printer is in, to be signed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var text string
			r, err := ask(c.Context(), intake.Request{Op: intake.OpState}, nil, func(r intake.Reply) { text = r.Text })
			if err != nil {
				return refused(c, r, err)
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
}

func approveSignCmd() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "sign STATE", Short: "Sign a state, anywhere; the approval goes to standard output", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			list, err := approval.Parse(text)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			k, err := approval.LoadKey(key)
			if err != nil {
				return err
			}
			for i, a := range list {
				if list[i], err = a.Sign(k); err != nil {
					return err
				}
			}
			signed, err := json.MarshalIndent(list, "", "  ")
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(append(signed, '\n'))
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "the approver's private key")
	c.MarkFlagRequired("key")
	return c
}

func approvePutCmd() *cobra.Command {
	return &cobra.Command{
		Use: "put APPROVAL", Short: "Give the printer an approval that platen approve sign made", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpApprove, Envelope: text}, nil, nil)
			return refused(c, r, err)
		},
	}
}

// keysRow says in which states the keys open jobs.
func keysRow(st *intake.Status) string {
	switch {
	case st.Sealed != "":
		return st.Sealed
	case st.Keys == "any":
		return "open jobs in any state of the system"
	case st.Approved == 0:
		return "open jobs: this state was approved at the printer"
	}
	return fmt.Sprintf("open jobs: this state was approved for release %d", st.Approved)
}

// doctorKeys says whether a changed system could open jobs, and whether this one can.
func doctorKeys(c *cobra.Command, cfg *config.Config) confine.Finding {
	f := confine.Finding{Name: "keys"}
	if cfg.ApproverKey == nil {
		f.Level, f.What = confine.Warn, "any system that is started on this board can open jobs"
		f.Remedy = "approver_key in the configuration: see platen approve --help, and platen-ota approve"
		return f
	}
	st, err := statusOf(c.Context())
	switch {
	case err != nil:
		f.What = "are bound to approved states; the agent does not run, so this one is not looked at"
	case st.Sealed != "":
		f.Level, f.What, f.Remedy = confine.Fail, st.Sealed, "platen status, once that is done"
	default:
		f.What = keysRow(st)
	}
	return f
}
