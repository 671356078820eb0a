// Command mkimage builds the images of a board: make image BOARD=NAME. It makes the key that
// U-Boot's images are signed with if there is none.
//
//	mkimage [flags] BOARD
//	mkimage settings DISK FOLDER     put the files of a folder into a disk's config partition
package main

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"platen/cross/image"
	"platen/updater/approval"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// firstRelease is when the first image was built: what a printer's clock never stands before,
// unless it is said.
const firstRelease = 1_760_000_000

func run(ctx context.Context) error {
	cfg := image.Config{Source: "."}
	flag.StringVar(&cfg.Version.Version, "version", "0.1.0", "version")
	flag.Uint64Var(&cfg.Version.Release, "release", 1, "number of the release")
	built := flag.Int64("built", firstRelease, "Unix time before which no printer's clock stands")
	out := flag.String("out", "build/image", "folder of images")
	key := flag.String("sign", "", "RSA key (PEM) that signs what U-Boot starts; made in OUT if none is given")
	approver := flag.String("approver", "", "approver's key: the encrypted state opens only after boots of images approved with it")
	files := flag.String("files", "", "folder of files for /etc/platen in the root")
	settings := flag.String("settings", "", "folder of files for the config partition")
	pack := flag.Bool("pack", true, "compress the disks, too")
	flag.BoolVar(&cfg.Fixed, "fixed", false, "for a release: fetch Debian's packages anew, and only if its security updates can be read")
	flag.BoolVar(&cfg.Console, "console", false, "the printer can be asked at its serial console")
	flag.Parse()
	if flag.NArg() == 3 && flag.Arg(0) == "settings" {
		list, err := folder(flag.Arg(2))
		if err != nil {
			return err
		}
		return image.WriteSettings(flag.Arg(1), list)
	}
	if flag.NArg() != 1 {
		names, err := image.Boards()
		return errors.Join(err, fmt.Errorf("name a board: %v", names))
	}
	cfg.Board, cfg.Dir, cfg.Cache = flag.Arg(0), filepath.Join(*out, flag.Arg(0)), filepath.Join(*out, "cache")
	cfg.Built = time.Unix(*built, 0)
	var err error
	if cfg.Files, err = folder(*files); err != nil {
		return err
	}
	if cfg.Settings, err = folder(*settings); err != nil {
		return err
	}
	if *approver != "" {
		if cfg.Approver, err = approval.LoadKey(*approver); err != nil {
			return err
		}
	}
	if cfg.Signer, err = signer(*key, *out); err != nil {
		return err
	}
	res, err := image.Build(ctx, cfg)
	if err != nil {
		return err
	}
	return report(res, *pack)
}

// folder reads the files of a folder by their names; none of "".
func folder(path string) (map[string][]byte, error) {
	list := map[string][]byte{}
	if path == "" {
		return list, nil
	}
	return list, filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(path, name)
		if err == nil {
			list[filepath.ToSlash(rel)], err = os.ReadFile(name)
		}
		return err
	})
}

// signer reads a key, or makes one that is kept.
func signer(path, dir string) (*rsa.PrivateKey, error) {
	if path == "" {
		path = filepath.Join(dir, "uboot.key")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := makeKey(path); err != nil {
				return nil, fmt.Errorf("make a key: %w", err)
			}
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no RSA key", path)
	}
	return k, nil
}

func makeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// maxPacked is what a compressed disk may have, in bytes.
const maxPacked = 48 << 20

func report(res *image.Result, pack bool) error {
	for _, img := range res.Images {
		fmt.Println(img.Disk)
		for _, p := range img.PCRs {
			fmt.Printf("  --pcr %d=%s\n", p.Index, hex.EncodeToString(p.Value[:])) // as platen-ota add takes it
		}
		if !pack {
			continue
		}
		n, err := compress(img.Disk)
		if err != nil {
			return err
		}
		fmt.Printf("  %s.gz, %.1f MiB\n", img.Disk, float64(n)/(1<<20))
		if n > maxPacked {
			return fmt.Errorf("%s.gz is over %d bytes", img.Disk, maxPacked)
		}
	}
	return nil
}

func compress(path string) (size int64, err error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(path + ".gz")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	return out.Seek(0, io.SeekCurrent)
}
