package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
)

// controllerSaveCmd keeps the firmware that is there.
func controllerSaveCmd(o *controllerOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "save FILE",
		Short: "Keep the firmware that is in the controller",
		Args:  cobra.ExactArgs(1),
		Long: `Read the firmware that is in the controller into a new file, from which "platen controller flash" can put it
back. Nothing is written to the controller; it restarts. An update does this by itself before it replaces a
firmware that no release brought.`,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := o.open(c)
			if err != nil {
				return err
			}
			defer s.close()
			if err := s.take(c); err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			err = s.flasher.Save(c.Context(), f)
			if err == nil {
				err = f.Sync()
			}
			if err = errors.Join(err, f.Close()); err != nil {
				return errors.Join(err, os.Remove(args[0]))
			}
			return s.report(c, controllerReport{})
		},
	}
}
