package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/fleet"
	"platen/agent/fleet/ca"
)

func caCmd() *cobra.Command {
	var dir *string
	c := &cobra.Command{
		Use:   "ca --dir DIR",
		Short: "Print the path of the CA certificate that printers pin",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := hasCA(*dir); err != nil {
				return err
			}
			return printPath(c, "ca", filepath.Join(fleet.CADir(*dir), ca.CertName))
		},
	}
	dir = dirFlag(c)
	c.AddCommand(crlCmd())
	return c
}

func crlCmd() *cobra.Command {
	var dir *string
	c := &cobra.Command{
		Use:   "crl --dir DIR",
		Short: "List the certificates of printers that left, for a broker of your own",
		Long: `Write the list of revoked certificates (PEM) anew and print its path: those that printers which were
revoked, or have left, could still show. A fleet that runs does it within seconds of each revocation,
and once a day, since brokers take nobody by a list older than 30 days.

Mosquitto reads it as crlfile, when it is started; if clients of another authority come there as well,
such as the fleet itself, the file needs that authority's list too, one behind the other.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := hasCA(*dir); err != nil {
				return err
			}
			authority, err := ca.Open(fleet.CADir(*dir))
			if err != nil {
				return err
			}
			if err := fleet.WriteCRL(*dir, authority); err != nil {
				return err
			}
			return printPath(c, "crl", authority.CRLPath())
		},
	}
	dir = dirFlag(c)
	return c
}

// hasCA refuses a folder in which there is no authority yet.
func hasCA(dir string) error {
	if _, err := os.Stat(filepath.Join(fleet.CADir(dir), ca.CertName)); err != nil {
		return fmt.Errorf("there is no CA in %s yet: start platen-fleet up --dir %s first", dir, dir)
	}
	return nil
}

func printPath(c *cobra.Command, name, path string) error {
	return cli.Print(c, map[string]string{name: path}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, path)
		return err
	})
}
