package boards

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"platen/hal/flash/loader"
	"platen/hal/sensor/gpio"
)

// Flash says how the firmware of the controller is replaced.
type Flash struct {
	Method  string        // bootloader: "stk500v2", "stm32" or "katapult"; "" if there is no way that is known
	MCU     string        // what it calls itself: "1e9801", "414", "stm32g0b1xx"
	Baud    int           // of the bootloader
	Layout  loader.Layout // its pages, and the part of them for the application
	Hex     bool          // images are Intel HEX, and not binaries
	Restart string        // "dtr", "pins", "none", or "reopen" for a simulated one
	Reset   gpio.Config   // the pin of NRST, with "pins"
	Boot    gpio.Config   // the pin of BOOT0; no chip if there is none
	AppBaud int           // Katapult: rate at which the application listens for a request; 0 if it does not
}

type fileFlash struct {
	Method  string   `toml:"method" of:"stk500v2 stm32 katapult" doc:"its bootloader"`
	MCU     string   `toml:"mcu" doc:"what it calls itself"`
	Baud    baud     `toml:"baud"`
	Pages   []string `toml:"pages" doc:"count and size, such as 256x2KiB"`
	Base    address  `toml:"base"`
	Start   address  `toml:"start"`
	Size    size     `toml:"size"`
	Image   string   `toml:"image" of:"hex binary" doc:"what firmware files are"`
	Restart string   `toml:"restart" of:"dtr pins none reopen" doc:"how the bootloader is entered"`
	AppBaud baud     `toml:"app_baud" need:"optional"`
	Chip    string   `toml:"gpio_chip" need:"optional"`
	Reset   *uint32  `toml:"gpio_reset" need:"optional"`
	Boot    *uint32  `toml:"gpio_boot" need:"optional"`
}

type (
	address uint32
	size    int
)

// UnmarshalText reads "0x08000000".
func (a *address) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	v, err := strconv.ParseUint(digits, 16, 32)
	if !ok || err != nil {
		return fmt.Errorf("%q is not an address: write it as \"0x08000000\"", text)
	}
	*a = address(v)
	return nil
}

// UnmarshalText reads "248KiB".
func (s *size) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "KiB")
	v, err := strconv.Atoi(digits)
	if !ok || err != nil || v < 1 || v > loader.MaxSize>>10 {
		return fmt.Errorf("%q is not a size: write it as \"248KiB\"", text)
	}
	*s = size(v << 10)
	return nil
}

// flash turns the table into a Flash. None at all is the zero Flash.
func (f fileFlash) flash() (Flash, error) {
	if f.Method == "" {
		return Flash{}, nil
	}
	b := Flash{Method: f.Method, MCU: f.MCU, Baud: int(f.Baud), Hex: f.Image == "hex", Restart: f.Restart, AppBaud: int(f.AppBaud)}
	runs, err := pageRuns(f.Pages)
	if err != nil {
		return b, err
	}
	if b.Layout, err = loader.NewLayout(loader.Address(f.Base), runs, loader.Address(f.Start), int(f.Size)); err != nil {
		return b, fmt.Errorf("flash: %w", err)
	}
	return b, errors.Join(f.pins(&b), f.enters())
}

// pageRuns reads "4x16KiB", or "1024x256B" for pages below a KiB.
func pageRuns(texts []string) ([]loader.Run, error) {
	var runs []loader.Run
	for _, text := range texts {
		count, each, _ := strings.Cut(text, "x")
		factor := 1 << 10
		digits, ok := strings.CutSuffix(each, "KiB")
		if !ok {
			factor = 1
			digits, ok = strings.CutSuffix(each, "B")
		}
		n, err := strconv.Atoi(count)
		bytes, err2 := strconv.Atoi(digits)
		if !ok || err != nil || err2 != nil || bytes > 1<<20 {
			return nil, fmt.Errorf("flash.pages: %q is not count and size: write it as \"256x2KiB\"", text)
		}
		runs = append(runs, loader.Run{Count: n, Size: bytes * factor})
	}
	return runs, nil
}

func (f fileFlash) pins(b *Flash) error {
	if f.Restart != "pins" {
		if f.Chip != "" || f.Reset != nil || f.Boot != nil {
			return errors.New("flash: pins are named, and restart is not \"pins\"")
		}
		return nil
	}
	if f.Chip == "" || f.Reset == nil {
		return errors.New("flash: restart by pins needs gpio_chip and gpio_reset")
	}
	b.Reset = gpio.Config{Chip: f.Chip, Offset: *f.Reset, ActiveLow: true, Output: true}
	if f.Boot != nil {
		b.Boot = gpio.Config{Chip: f.Chip, Offset: *f.Boot, Output: true}
	}
	return nil
}

// enters says whether the bootloader can be reached at all.
func (f fileFlash) enters() error {
	switch {
	case f.Method == "stm32" && f.Restart == "pins" && f.Boot == nil, f.Method == "stm32" && (f.Restart == "dtr" || f.Restart == "none"):
		return errors.New("flash: the ROM of an STM32 starts only with BOOT0 high: name restart = \"pins\" with gpio_boot")
	case f.Method == "stk500v2" && f.Restart == "none":
		return errors.New("flash: the bootloader of an AVR is entered by a reset: name restart")
	case f.Method == "katapult" && f.Restart == "none" && f.AppBaud == 0:
		return errors.New("flash: Katapult is entered by a request or by two resets: name app_baud or restart")
	case f.Method != "katapult" && f.AppBaud != 0:
		return errors.New("flash: only Katapult has an app_baud")
	}
	return nil
}
