package mesh

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

// Every lie of a 3MF file is refused with the right error, within the budget of
// 2 MiB, without heap, and leaves nothing behind: threat T15. Archives that lie are
// in the tests of package pack, XML that lies in those of package markup; here one
// of each kind goes all the way.
func TestHostile3MF(t *testing.T) {
	cube := func(id string) string { return `<object id="` + id + `">` + meshXML(solids.Cube()) + `</object>` }
	model := func(resources, items string) []byte { return package3MF(t, modelXML("", resources, items)) }
	item := `<item objectid="1"/>`
	moved := func(m string) []byte { return model(cube("1"), `<item objectid="1" transform="`+m+`"/>`) }
	changed := func(old, with string) []byte {
		text := model3MF(solids.Cube())
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in the model", old)
		}
		return package3MF(t, strings.Replace(text, old, with, 1))
	}
	group := func(id, components string) string {
		return `<object id="` + id + `"><components>` + components + `</components></object>`
	}
	ref := func(id string) string { return `<component objectid="` + id + `"/>` }
	extension := func(uri string) []byte {
		return package3MF(t, modelXML(`xmlns:e="`+uri+`" requiredextensions="e"`, cube("1"), item))
	}
	config := func(name, text string) []byte { return package3MF(t, model3MF(solids.Cube()), part{name, text}) }
	leaf := func(text string) part { return part{"3D/o.model", text} }
	rels := func(text string) []byte {
		return pack3MF(t, part{"_rels/.rels", text}, part{"3D/3dmodel.model", model3MF(solids.Cube())})
	}
	relation := strings.TrimSuffix(rootRel, "</Relationships>")
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"not an archive":              {[]byte("PK\x03\x04 and nothing"), ErrFormat},
		"no relationships":            {pack3MF(t, part{"3D/3dmodel.model", model3MF(solids.Cube())}), ErrFormat},
		"no model":                    {pack3MF(t, part{"_rels/.rels", rootRel}), ErrFormat},
		"two models":                  {rels(relation + `<Relationship Target="/3D/3dmodel.model" Id="r" Type="` + relModel + `"/></Relationships>`), ErrFormat},
		"a model elsewhere":           {rels(strings.Replace(rootRel, `Target="`, `TargetMode="External" Target="http://x`, 1)), ErrFormat},
		"a key store":                 {rels(relation + `<Relationship Target="/Secure/keystore.xml" Id="r" Type="` + relKeystore + `"/></Relationships>`), ErrFormat}, // that is not there
		"a key store of the draft":    {rels(relation + `<Relationship Target="/3D/3dmodel.model" Id="r" Type="` + relKeyOld + `"/></Relationships>`), ErrUnsupported},
		"a path upwards":              {rels(strings.Replace(rootRel, "/3D/", "/../3D/", 1)), ErrFormat},
		"a link":                      {linked(t), ErrFormat},
		"a name with NUL":             {pack3MF(t, part{"_rels/.rels", rootRel}, part{"3D/3dmodel.model\x00", model3MF(solids.Cube())}), ErrFormat},
		"the model twice":             {pack3MF(t, part{"_rels/.rels", rootRel}, part{"3D/3dmodel.model", model3MF(solids.Cube())}, part{"3d/3DModel.model", "x"}), ErrFormat},
		"an archive as model":         {package3MF(t, string(package3MF(t, model3MF(solids.Cube())))), ErrFormat},
		"blanks without end":          {model(strings.Repeat(" ", 5<<20)+cube("1"), item), ErrFormat},
		"a comment without end":       {model("<!--"+strings.Repeat("x", 5<<20)+"-->"+cube("1"), item), ErrFormat},
		"metadata without end":        {changed("a &amp; b", strings.Repeat("x", 5<<20)), ErrFormat},
		"corners without end":         {changed("</vertices>", strings.Repeat(`<vertex x="0" y="0" z="0"/>`, 1<<18)+"</vertices>"), vault.ErrBudget},
		"triangles without end":       {changed("</triangles>", strings.Repeat(`<triangle v1="0" v2="1" v3="2"/>`, 1<<18)+"</triangles>"), vault.ErrBudget},
		"document type":               {changed("<model", "<!DOCTYPE model [<!ENTITY a \"b\">]><model"), ErrFormat},
		"billion laughs":              {changed("<model", "<!DOCTYPE m [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><model"), ErrFormat},
		"entity":                      {changed("a &amp; b", "&a;"), ErrFormat},
		"UTF-16":                      {package3MF(t, "\xff\xfe<\x00m\x00"), ErrFormat},
		"100,000 deep":                {model(strings.Repeat("<a>", 100_000)+strings.Repeat("</a>", 100_000), item), ErrFormat},
		"ends too early":              {changed("</model>", ""), ErrFormat},
		"another root":                {package3MF(t, "<html></html>"), ErrFormat},
		"another namespace":           {changed("core/2015/02", "core/2099/02"), ErrFormat},
		"no resources":                {package3MF(t, "<model "+coreNS+"><build/></model>"), ErrFormat},
		"no build":                    {package3MF(t, "<model "+coreNS+"><resources/></model>"), ErrFormat},
		"two builds":                  {changed("</build>", "</build><build/>"), ErrFormat},
		"nothing to build":            {model(cube("1"), ""), ErrGeometry},
		"nothing in it":               {model(group("1", ""), item), ErrGeometry},
		"an unknown unit":             {package3MF(t, modelXML(`unit="parsec"`, cube("1"), item)), ErrFormat},
		"slices":                      {extension("http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"), ErrUnsupported},
		"beams":                       {extension("http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"), ErrUnsupported},
		"an unknown extension":        {extension("urn:unknown"), ErrUnsupported},
		"an undeclared extension":     {package3MF(t, modelXML(`requiredextensions="zz"`, cube("1"), item)), ErrUnsupported},
		"cut out, PrusaSlicer":        {config("Metadata/Slic3r_PE_model.config", `<config><object id="1"><volume firstid="0" lastid="3"><metadata key="volume_type" value="NegativeVolume"/></volume></object></config>`), ErrUnsupported},
		"cut out, Bambu Studio":       {config("Metadata/model_settings.config", `<config><object id="1"><part id="2" subtype="negative_part"/></object></config>`), ErrUnsupported},
		"a modifier beyond the mesh":  {config("Metadata/Slic3r_PE_model.config", `<config><object id="1"><volume firstid="0" lastid="99"><metadata key="volume_type" value="ParameterModifier"/></volume></object></config>`), ErrFormat},
		"the same id twice":           {model(cube("1")+cube("1"), item), ErrFormat},
		"no id":                       {changed(`object id="1"`, "object"), ErrFormat},
		"id 0":                        {changed(`object id="1"`, `object id="0"`), ErrFormat},
		"id 2^31":                     {changed(`object id="1"`, `object id="2147483648"`), ErrFormat},
		"an unknown type":             {changed(`type="model"`, `type="toy"`), ErrFormat},
		"an item of type other":       {changed(`type="model"`, `type="other"`), ErrFormat},
		"an unknown object":           {model(cube("1"), `<item objectid="2"/>`), ErrFormat},
		"10^5 objects":                {model(objects(100_000), item), ErrFormat},
		"itself":                      {model(group("1", ref("1")), item), ErrFormat},
		"a cycle of two":              {model(group("1", ref("2"))+group("2", ref("1")), item), ErrFormat},
		"33 levels":                   {model(cube("1")+levels(33, 1), `<item objectid="34"/>`), ErrFormat},
		"10^9 instances":              {model(cube("1")+levels(9, 10), `<item objectid="10"/>`), vault.ErrBudget},
		"10^60 instances":             {model(cube("1")+levels(30, 100), `<item objectid="31"/>`), vault.ErrBudget},
		"10^60 instances of nothing":  {model(group("1", "")+levels(30, 100), `<item objectid="31"/>`), ErrGeometry},
		"10^5 instances":              {model(cube("1"), strings.Repeat(item, 100_000)), vault.ErrBudget},
		"singular":                    {moved("1 0 0 0 1 0 1 1 0 0 0 0"), ErrGeometry},
		"all zero":                    {moved("0 0 0 0 0 0 0 0 0 0 0 0"), ErrGeometry},
		"NaN":                         {moved("NaN 0 0 0 1 0 0 0 1 0 0 0"), ErrFormat},
		"Inf":                         {moved("inf 0 0 0 1 0 0 0 1 0 0 0"), ErrFormat},
		"1e38":                        {moved("1e38 0 0 0 1 0 0 0 1 0 0 0"), ErrGeometry},
		"1e999":                       {moved("1e999 0 0 0 1 0 0 0 1 0 0 0"), ErrFormat},
		"eleven numbers":              {moved("1 0 0 0 1 0 0 0 1 0 0"), ErrFormat},
		"thirteen numbers":            {moved("1 0 0 0 1 0 0 0 1 0 0 0 0"), ErrFormat},
		"far away":                    {model(cube("1"), item+`<item objectid="1" transform="1 0 0 0 1 0 0 0 1 1e5 0 0"/>`), ErrGeometry},
		"grown by components":         {model(cube("1")+grown(20), `<item objectid="21"/>`), ErrGeometry},
		"an index out of range":       {changed(`v3="1"`, `v3="8"`), ErrFormat},
		"an index of 2^31":            {changed(`v3="1"`, `v3="2147483648"`), ErrFormat},
		"a negative index":            {changed(`v3="1"`, `v3="-1"`), ErrFormat},
		"two indices":                 {changed(`v3="1"`, ``), ErrFormat},
		"two coordinates":             {changed(`z="0"`, ``), ErrFormat},
		"a coordinate of NaN":         {changed(`z="0"`, `z="nan"`), ErrFormat},
		"a coordinate of 1e999":       {changed(`z="0"`, `z="1e999"`), ErrFormat},
		"a coordinate of 1e38":        {changed(`z="0"`, `z="1e38"`), ErrFormat},
		"a hexadecimal coordinate":    {changed(`z="0"`, `z="0x1p3"`), ErrFormat},
		"triangles before corners":    {model(`<object id="1"><mesh><triangles/><vertices/></mesh></object>`, item), ErrFormat},
		"corners twice":               {changed("</vertices>", "</vertices><vertices/>"), ErrFormat},
		"mesh and components":         {changed("</mesh>", "</mesh><components/>"), ErrFormat},
		"an empty object":             {model(`<object id="1"/>`, item), ErrFormat},
		"a part that is not there":    {model(group("1", `<component objectid="7" p:path="/3D/o.model"/>`), item), ErrFormat},
		"a part that is no model":     {package3MF(t, modelXML("", group("1", `<component objectid="7" p:path="/3D/o.model"/>`), item), leaf("hello")), ErrFormat},
		"an encrypted part":           {package3MF(t, modelXML("", group("1", `<component objectid="7" p:path="/3D/o.model"/>`), item), leaf("%3McF\x00\x00\x00")), ErrFormat},
		"a part without the object":   {package3MF(t, modelXML("", group("1", `<component objectid="7" p:path="/3D/o.model"/>`), item), leaf(modelXML("", cube("8"), ""))), ErrFormat},
		"a part that refers to parts": {package3MF(t, modelXML("", group("1", `<component objectid="7" p:path="/3D/o.model"/>`), item), leaf(modelXML("", group("7", `<component objectid="1" p:path="/3D/3dmodel.model"/>`), ""))), ErrFormat},
		"a relative path":             {package3MF(t, modelXML("", group("1", `<component objectid="7" p:path="3D/o.model"/>`), item), leaf(modelXML("", cube("7"), ""))), ErrFormat},
	} {
		v := newVault(t, 2<<20)
		if int64(len(c.file)) > 4<<20 {
			t.Fatalf("%s: the file has %d bytes", name, len(c.file))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		_, err := Load(context.Background(), v, bytes.NewReader(c.file), int64(len(c.file)), Detect)
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if s := v.Stats(); s.Used != 0 || s.Peak > 2<<20 {
			t.Errorf("%s: %d bytes left in the vault, %d at most", name, s.Used, s.Peak)
		}
		if heap := after.TotalAlloc - before.TotalAlloc; heap > 1<<18 {
			t.Errorf("%s: %d bytes of heap", name, heap)
		}
		if took > time.Minute { // two seconds on one core of a desk; tests run on slow ones
			t.Errorf("%s: took %v", name, took)
		}
	}
	for name, file := range map[string][]byte{
		"cube": model(cube("1"), item), "31 levels": model(cube("1")+levels(31, 1), `<item objectid="32"/>`),
		"1000 instances": model(cube("1")+levels(3, 10), `<item objectid="4"/>`),
		"settings":       config("Metadata/model_settings.config", `<config><object id="1"><part id="2" subtype="normal_part"/></object><plate/></config>`),
	} {
		if _, err := Load(context.Background(), newVault(t, 5<<20), bytes.NewReader(file), int64(len(file)), Detect); err != nil {
			t.Errorf("control: %s: %v", name, err)
		}
	}
}

// levels are objects 2 to n+1, each of which holds the one before so many times.
func levels(n, times int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<object id="%d"><components>%s</components></object>`, i+2, strings.Repeat(fmt.Sprintf(`<component objectid="%d"/>`, i+1), times))
	}
	return b.String()
}

// grown are objects 2 to n+1, each of which holds the one before ten times as large.
func grown(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<object id="%d"><components><component objectid="%d" transform="10 0 0 0 10 0 0 0 10 0 0 0"/></components></object>`, i+2, i+1)
	}
	return b.String()
}

func objects(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<object id="%d"><components/></object>`, i+1)
	}
	return b.String()
}

// linked is a package whose model is a symbolic link.
func linked(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	rels, err := w.Create("_rels/.rels")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(rels, rootRel) // to memory
	h := &zip.FileHeader{Name: "3D/3dmodel.model", CreatorVersion: 3 << 8, ExternalAttrs: 0o120777 << 16}
	f, err := w.CreateHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(f, "/etc/passwd")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
