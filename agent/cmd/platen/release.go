package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/consent"
	"platen/agent/intake"
)

func updateWaitingCmd() *cobra.Command {
	return &cobra.Command{
		Use: "waiting", Short: "Print the newest release, to be approved by the owner", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var text string
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUpdateWaiting}, nil, func(r intake.Reply) { text = r.Text })
			if err != nil {
				return refused(c, r, err)
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
}

func updateSignCmd() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "sign RELEASE", Short: "Approve a release, anywhere; the approval goes to standard output", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			statement, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			owner, err := consent.LoadKey(key)
			if err != nil {
				return err
			}
			approval, err := consent.SignRelease(statement, owner)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = c.OutOrStdout().Write(approval)
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "the owner's private key")
	c.MarkFlagRequired("key")
	return c
}

func updateForgiveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "forgive", Short: "Let a release that failed its trial here be tried again", Args: cobra.NoArgs,
		Long: `A release that failed its trial is not taken again, and a controller that did not take its firmware in many
tries is left alone. Once the cause is gone, this lets both be tried again; the audit log says so.`,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUpdateForgive}, nil, nil)
			return refused(c, r, err)
		},
	}
}

func updateRepairCmd() *cobra.Command {
	var release uint64
	c := &cobra.Command{
		Use: "repair [WORD]", Short: "Repair what the TPM keeps of earlier releases, if it is damaged", Args: cobra.MaximumNArgs(1),
		Long: `What the TPM keeps of the releases that have run keeps older ones from coming back. If it is damaged, nothing
new is installed until somebody says which release was the highest:

    platen update repair > word.txt                       prints what is to be said; --release N if a higher one has run
    platen update sign word.txt --key owner > signed.txt  where the owner's key is, if the printer has an owner_key
    platen update repair signed.txt                       before the board restarts

Read the text before you sign it. The audit log keeps that it was repaired.`,
		RunE: func(c *cobra.Command, args []string) error {
			req := intake.Request{Op: intake.OpUpdateRepair, Release: release}
			if len(args) > 0 {
				var err error
				if req.Envelope, err = os.ReadFile(args[0]); err != nil {
					return err
				}
			}
			var text string
			r, err := ask(c.Context(), req, nil, func(r intake.Reply) { text = r.Text })
			if err != nil || len(args) > 0 {
				return refused(c, r, err)
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
	c.Flags().Uint64Var(&release, "release", 0, "highest release that is known to have run")
	return c
}

func updateApproveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "approve APPROVAL", Short: "Give the printer the owner's word on a release", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			approval, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUpdateApprove, Envelope: approval}, nil, nil)
			return refused(c, r, err)
		},
	}
}
