package boards

import (
	"strings"
	"testing"

	"platen/hal/flash/loader"
)

func TestFlash(t *testing.T) {
	b, err := Load("rpi-prusa-mk3-einsy")
	if err != nil {
		t.Fatal(err)
	}
	f := b.Flash
	if f.Method != "stk500v2" || f.MCU != "1e9801" || f.Baud != 115200 || !f.Hex || f.Restart != "dtr" || f.Layout.Size() != 248<<10 || f.Layout.Pages() != 992 {
		t.Errorf("got %+v", f)
	}
	if b, err := Load("pi-creality-v427"); err != nil || b.Flash.Method != "" || b.Flash.Layout.Pages() != 0 {
		t.Errorf("a board without the table: %+v, %v", b.Flash, err)
	}
}

// TestOtherFlash reads tables that no board has yet.
func TestOtherFlash(t *testing.T) {
	f4, err := parseFlash(t, `
method = "stm32"
mcu = "421"
baud = "115200baud"
pages = ["4x16KiB", "1x64KiB", "3x128KiB"]
base = "0x08000000"
start = "0x08008000"
size = "480KiB"
image = "binary"
restart = "pins"
gpio_chip = "pinctrl-bcm2711"
gpio_reset = 17
gpio_boot = 0
`)
	if err != nil {
		t.Fatal(err)
	}
	if f4.Layout.Start() != 0x08008000 || f4.Layout.Pages() != 6 || f4.Reset.Offset != 17 || !f4.Reset.ActiveLow || f4.Boot.Chip == "" || f4.Boot.ActiveLow ||
		!f4.Reset.Output || !f4.Boot.Output || f4.Hex {
		t.Errorf("got %+v", f4)
	}
	k, err := parseFlash(t, `
method = "katapult"
mcu = "stm32f103xe"
baud = "250000baud"
pages = ["256x2KiB"]
base = "0x08000000"
start = "0x08002000"
size = "504KiB"
image = "binary"
restart = "none"
app_baud = "250000baud"
`)
	if err != nil {
		t.Fatal(err)
	}
	if k.AppBaud != 250000 || k.Layout.Number(0) != 4 || k.Layout.Address(1) != loader.Address(0x08002800) {
		t.Errorf("got %+v", k)
	}
}

// parseFlash reads the simulated board with another table of flash.
func parseFlash(t *testing.T, table string) (Flash, error) {
	t.Helper()
	before, rest, ok := strings.Cut(simText(t), "[flash]")
	_, after, ok2 := strings.Cut(rest, "\n[slots]")
	if !ok || !ok2 {
		t.Fatal("the simulated board has no table of flash")
	}
	b, err := Parse("sim.toml", []byte(before+"[flash]\n"+table+"\n[slots]"+after))
	if err != nil {
		return Flash{}, err
	}
	return b.Flash, nil
}

func TestBadFlash(t *testing.T) {
	const good = "method = \"stm32\"\nmcu = \"421\"\nbaud = \"115200baud\"\npages = [\"8x16KiB\"]\nbase = \"0x08000000\"\nstart = \"0x08000000\"\n" +
		"size = \"128KiB\"\nimage = \"binary\"\nrestart = \"pins\"\ngpio_chip = \"c\"\ngpio_reset = 1\ngpio_boot = 2\n"
	if _, err := parseFlash(t, good); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":         {"gpio_boot", "gpio_boat", `unknown key "flash.gpio_boat"`},
		"missing key":         {"mcu = \"421\"\n", "", `key "flash.mcu" is missing`},
		"other method":        {`"stm32"`, `"dfu"`, "flash.method"},
		"other image":         {`"binary"`, `"elf"`, "flash.image"},
		"other restart":       {`"pins"`, `"prayer"`, "flash.restart"},
		"no unit":             {`"8x16KiB"`, `"8x16"`, "flash.pages"},
		"no count":            {`"8x16KiB"`, `"16KiB"`, "flash.pages"},
		"no address":          {`start = "0x08000000"`, `start = "134217728"`, "is not an address"},
		"no size":             {`"128KiB"`, `"131072"`, "is not a size"},
		"too large":           {`"128KiB"`, `"4096KiB"`, "is not a size"},
		"within a page":       {`"128KiB"`, `"127KiB"`, "page boundaries"},
		"behind the flash":    {`"128KiB"`, `"256KiB"`, "page boundaries"},
		"no pin for reset":    {"gpio_reset = 1\n", "", "gpio_reset"},
		"no pin for BOOT0":    {"gpio_boot = 2\n", "", "BOOT0"},
		"pins without pins":   {`"pins"`, `"dtr"`, "pins are named"},
		"nobody listens":      {`"stm32"`, `"stm32"` + "\napp_baud = \"250000baud\"", "app_baud"},
		"Katapult's no entry": {good, strings.NewReplacer(`"stm32"`, `"katapult"`, "gpio_chip = \"c\"\ngpio_reset = 1\ngpio_boot = 2\n", "", `"pins"`, `"none"`).Replace(good), "two resets"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: nothing was changed", name)
			continue
		}
		if _, err := parseFlash(t, bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
