package session

import (
	"archive/zip"
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"platen/agent/seam"
	"platen/boards"
	"platen/hal/unit"
	"platen/slicer"
)

// with sends the profile that is for the next job.
func (c *child) with(profile string) {
	c.t.Helper()
	for _, piece := range seam.Pieces([]byte(profile)) {
		if err := c.conn.Send(&piece, nil); err != nil {
			c.t.Fatal(err)
		}
	}
}

// timeless is the log without the time of its lines, which may be any number.
func timeless(c *child) string {
	return regexp.MustCompile(`time=\S+`).ReplaceAllString(c.stderr.String(), "")
}

// A profile changes what is printed, and how hot, and the macros of the board heat to it.
func TestSessionPrintsByAProfile(t *testing.T) {
	b := model(t, "cube.stl")
	layers := map[string]int{}
	for name, profile := range map[string]string{
		"less": "[model]\nscale_x = \"40%\"\nscale_y = \"40%\"\nscale_z = \"10%\"\n",
		"some": "# " + strings.Repeat("padding ", 200) + "\n[printer]\nnozzle_diameter = \"0.8mm\"\nbuild_max_x = \"10mm\"\n" +
			"[material]\nhot_end = \"233C\"\nbed = \"55C\"\n[quality]\nlayer_height = \"0.4mm\"\n[model]\nscale_x = \"40%\"\nscale_y = \"40%\"\nscale_z = \"10%\"\n",
	} {
		c := startSession(t, fast)
		c.with(profile)
		c.start(seam.Start{Job: [16]byte{1}, Size: uint64(len(b))}, b)
		for _, want := range []seam.Code{seam.CodeLoaded, seam.CodeDone} {
			if r := await[*seam.Receipt](c); r.Code != want {
				t.Fatalf("%s: %s: %s\n%s", name, r.Code, r.Reason, c.stderr.String())
			}
		}
		if err := c.exited(); err != nil {
			t.Errorf("%s: exit: %v", name, err)
		}
		layers[name] = int(c.printer.Stats().Layers)
	}
	if layers["less"] != 10 || layers["some"] != 6 {
		t.Errorf("%v layers", layers)
	}
}

// What a profile says is refused where it is not for the job, before anything moves, and
// nobody is told what it said.
func TestSessionRefusesProfiles(t *testing.T) {
	cube := model(t, "cube.stl")
	for name, try := range map[string]struct {
		profile string
		content []byte
		reason  seam.Reason
	}{
		"no profile":      {"[quality]\nwalls = 9090\n", cube, seam.ReasonProfile},
		"too hot":         {"[material]\nhot_end = \"499C\"\n", cube, seam.ReasonProfile},
		"too thick":       {"[quality]\nlayer_height = \"1.909mm\"\n", cube, seam.ReasonProfile},
		"too much":        {strings.Repeat("# 9090\n", 1+seam.MostProfile/7), cube, seam.ReasonProfile},
		"no TOML":         {"9090", cube, seam.ReasonProfile},
		"with G-code":     {"[quality]\nwalls = 3\n", []byte(goodGCode), seam.ReasonProfile},
		"not this model":  {"[printer]\nsequential_height = \"500mm\"\n[model]\ncopies = 2\nsequential = true\nscale_z = \"290.9%\"\n", cube, seam.ReasonProfile},
		"does not fit":    {"[model]\nscale_x = \"9090%\"\n", cube, seam.ReasonOutOfReach},
		"too many copies": {"[model]\ncopies = 909\n", cube, seam.ReasonOutOfReach},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startSession(t, fast)
			c.with(try.profile)
			c.start(seam.Start{Job: [16]byte{8}, Size: uint64(len(try.content))}, try.content)
			if r := await[*seam.Receipt](c); r.Code != seam.CodeRefused || r.Reason != try.reason {
				t.Errorf("%s, %s\n%s", r.Code, r.Reason, c.stderr.String())
			}
			c.exited()
			if s := c.printer.Stats(); s.Moves != 0 || s.Homes != 0 || s.HotendSet != 0 || s.BedSet != 0 {
				t.Error("the machine moved or was heated")
			}
			if text := timeless(c); !strings.Contains(text, "session ready") || strings.Contains(text, "909") || strings.Contains(text, "499") {
				t.Errorf("the log tells of the profile: %s", text)
			}
		})
	}
}

// The settings of a job: the machine is the board's, a sealed model is placed by nobody
// else, and the board heats to what the profile says.
func TestSettings(t *testing.T) {
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cfg: Config{Board: b}}
	own, same, err := s.settings(true)
	if err != nil || same != b || !own.Bare {
		t.Fatal(err)
	}
	s.profile = []byte("[printer]\nnozzle_diameter = \"0.8mm\"\n[material]\nhot_end = \"233C\"\n[quality]\nwalls = 7\n")
	got, hot, err := s.settings(true)
	if err != nil {
		t.Fatal(err)
	}
	want := own
	want.HotEnd, want.FirstHotEnd, want.Walls = 233*unit.Degree, 233*unit.Degree, 7
	if got != want {
		t.Errorf("got %+v", got)
	}
	if start := hot.Macros[boards.MacroStart]; !strings.Contains(start, "M109 S233\n") || strings.Contains(b.Macros[boards.MacroStart], "233") {
		t.Errorf("start is %q", start)
	}
	s.profile = []byte("[model]\ncopies = 2\n")
	if _, _, err := s.settings(true); err != errProfile {
		t.Errorf("a sealed model is copied: %v", err)
	}
	if got, _, err := s.settings(false); err != nil || got.Copies != 2 {
		t.Errorf("control: %d copies, %v", got.Copies, err)
	}
}

// Whatever the board says of the machine, no setting of a profile changes it.
func TestProfilesCannotChangeTheMachine(t *testing.T) {
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	own, err := settingsOf(b)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range slicer.Table() {
		r := &slicer.Table()[i]
		if r.Section != slicer.Printer {
			continue
		}
		other := own
		r.Draw(&other, 77)
		text := r.Text(&other)
		if !r.Switch() && !r.Count() {
			text = `"` + text + `"`
		}
		s := &session{cfg: Config{Board: b}, profile: []byte("[printer]\n" + r.Key + " = " + text + "\n")}
		if got, _, err := s.settings(false); err != nil || got != own {
			t.Errorf("%s = %s: %v", r.Key, text, err)
		}
		if n++; other == own {
			n--
		}
	}
	if n < 5 {
		t.Errorf("control: %d settings were tried", n)
	}
}

// pack makes a 3MF package of files.
func pack(t *testing.T, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"[Content_Types].xml", "Metadata/plate_1.gcode", "Metadata/plate_2.gcode"} {
		if text, ok := parts[name]; ok {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Packages with plates of G-code, one and several, good and bad.
func TestSessionPrintsPlates(t *testing.T) {
	types, one, two := "[Content_Types].xml", "Metadata/plate_1.gcode", "Metadata/plate_2.gcode"
	short := "G28\nM109 S210\nM83\n;LAYER_CHANGE\n;Z:0.2\nG1 X20 Y20 Z0.2 F3000\nG1 X40 E1 F1200\n"
	both := pack(t, map[string]string{types: "<Types/>", one: goodGCode, two: short})
	hurt := pack(t, map[string]string{types: "<Types/>", one: goodGCode})
	hurt[bytes.LastIndex(hurt, []byte("PK\x07\x08"))-1] ^= 1 // the last of what is compressed
	for name, try := range map[string]struct {
		content []byte
		plate   uint8
		reason  seam.Reason
		layers  int32
	}{
		"the only one":     {pack(t, map[string]string{types: "<Types/>", two: short}), 0, 0, 1},
		"the first":        {both, 1, 0, 2},
		"the second":       {both, 2, 0, 1},
		"none chosen":      {both, 0, seam.ReasonPlate, 0},
		"not there":        {both, 3, seam.ReasonPlate, 0},
		"refused G-code":   {pack(t, map[string]string{types: "<Types/>", one: goodGCode + "M302 P90901\n"}), 0, seam.ReasonGCode, 0},
		"nothing to do":    {pack(t, map[string]string{types: "<Types/>", one: "; 90901\n"}), 0, seam.ReasonFormat, 0},
		"damaged":          {hurt, 0, seam.ReasonFormat, 0},
		"no types":         {pack(t, map[string]string{one: goodGCode}), 0, seam.ReasonFormat, 0},
		"nothing in it":    {pack(t, map[string]string{types: "<Types/>"}), 0, seam.ReasonFormat, 0},
		"a plate of a STL": {model(t, "cube.stl"), 1, seam.ReasonPlate, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startSession(t, fast)
			c.start(seam.Start{Job: [16]byte{6}, Plate: try.plate, Size: uint64(len(try.content))}, try.content)
			r := await[*seam.Receipt](c)
			if try.reason == 0 && r.Code == seam.CodeLoaded {
				r = await[*seam.Receipt](c)
			}
			if want := seam.CodeRefused; try.reason != 0 && (r.Code != want || r.Reason != try.reason) {
				t.Errorf("%s: %s\n%s", r.Code, r.Reason, c.stderr.String())
			}
			if try.reason == 0 && r.Code != seam.CodeDone {
				t.Errorf("%s: %s\n%s", r.Code, r.Reason, c.stderr.String())
			}
			c.exited()
			st := c.printer.Stats()
			if int32(st.Layers) != try.layers || try.reason != 0 && (st.Moves != 0 || st.HotendSet != 0) {
				t.Errorf("%d layers, %d moves", st.Layers, st.Moves)
			}
			if strings.Contains(timeless(c), "9090") {
				t.Error("the log tells of the file")
			}
		})
	}
}
