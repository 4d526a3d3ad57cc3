package document

import (
	"html/template"
	"net/http"

	"golang.org/x/text/language"
)

// errorPage is what somebody reads whose link leads to no document.
type errorPage struct {
	Language  string
	Direction string
	Title     string
	Text      string
}

// errorPages by language: for a link that has expired, one that does not hold, one whose document is gone, and a store that
// does not answer.
var errorPages = []struct {
	tag                           language.Tag
	expired, broken, gone, silent [2]string
}{
	{
		language.English,
		[2]string{"This link has expired", "Links to documents hold for some time only, so that nobody else can use them later. Please open the message in the school’s app once more, or ask the school for a new link."},
		[2]string{"This link does not work", "It may not have been copied as a whole. Please open it from the message once more."},
		[2]string{"This document is not there any more", "Please ask the school for it."},
		[2]string{"Please try again in a moment", "The document cannot be read just now."},
	},
	{
		language.Spanish,
		[2]string{"Este enlace ha caducado", "Los enlaces a documentos solo valen durante un tiempo, para que nadie más pueda usarlos después. Abra de nuevo el mensaje en la aplicación de la escuela o pida un enlace nuevo."},
		[2]string{"Este enlace no funciona", "Puede que no se haya copiado entero. Ábralo de nuevo desde el mensaje."},
		[2]string{"Este documento ya no está", "Pídalo a la escuela."},
		[2]string{"Inténtelo de nuevo en un momento", "El documento no se puede leer ahora."},
	},
	{
		language.French,
		[2]string{"Ce lien a expiré", "Les liens vers des documents ne sont valables qu’un certain temps, pour que personne d’autre ne puisse s’en servir plus tard. Rouvrez le message dans l’application de l’école, ou demandez-lui un nouveau lien."},
		[2]string{"Ce lien ne fonctionne pas", "Il n’a peut-être pas été copié en entier. Ouvrez-le de nouveau depuis le message."},
		[2]string{"Ce document n’existe plus", "Demandez-le à l’école."},
		[2]string{"Réessayez dans un instant", "Le document ne peut pas être lu pour le moment."},
	},
	{
		language.Portuguese,
		[2]string{"Esta ligação expirou", "As ligações a documentos só são válidas por algum tempo, para que mais ninguém as possa usar depois. Abra de novo a mensagem na aplicação da escola, ou peça-lhe uma nova ligação."},
		[2]string{"Esta ligação não funciona", "Pode não ter sido copiada por inteiro. Abra-a de novo a partir da mensagem."},
		[2]string{"Este documento já não existe", "Peça-o à escola."},
		[2]string{"Tente de novo daqui a pouco", "O documento não pode ser lido neste momento."},
	},
	{
		language.Arabic,
		[2]string{"انتهت صلاحية هذا الرابط", "روابط المستندات صالحة لمدة محدودة حتى لا يستخدمها غيركم لاحقًا. يُرجى فتح الرسالة من جديد في تطبيق المدرسة، أو طلب رابط جديد منها."},
		[2]string{"هذا الرابط لا يعمل", "ربما لم يُنسخ كاملًا. يُرجى فتحه من جديد من الرسالة."},
		[2]string{"هذا المستند لم يعد موجودًا", "يُرجى طلبه من المدرسة."},
		[2]string{"يُرجى المحاولة بعد قليل", "لا يمكن قراءة المستند الآن."},
	},
}

var errorPageLanguages = func() language.Matcher {
	tags := make([]language.Tag, len(errorPages))
	for i, r := range errorPages {
		tags[i] = r.tag
	}
	return language.NewMatcher(tags)
}()

var errorPageTemplate = template.Must(template.New("refusal").Parse(`<!doctype html>
<html lang="{{.Language}}" dir="{{.Direction}}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f2f6f9; color: #1d2733;
  font: 1.0625rem/1.6 system-ui, sans-serif }
main { max-width: 30rem; margin: 1.5rem; padding: 2rem 2.25rem; background: #fff; border-top: 4px solid #1b4f72; border-radius: 6px }
h1 { margin: 0 0 .5rem; font-size: 1.375rem; line-height: 1.3 }
p { margin: 0; color: #4a5663 }
</style>
<main><h1>{{.Title}}</h1><p>{{.Text}}</p></main>
</html>
`))

// writeErrorPage writes the page for a status, in the language that is wanted.
func writeErrorPage(w http.ResponseWriter, wanted string, status int) {
	tags, _, _ := language.ParseAcceptLanguage(wanted) // what cannot be read wants nothing
	_, i, _ := errorPageLanguages.Match(tags...)
	spoken := errorPages[i]
	text := spoken.broken
	switch status {
	case http.StatusGone:
		text = spoken.expired
	case http.StatusNotFound:
		text = spoken.gone
	case http.StatusServiceUnavailable:
		text = spoken.silent
	}
	page := errorPage{Language: spoken.tag.String(), Direction: "ltr", Title: text[0], Text: text[1]}
	if spoken.tag == language.Arabic {
		page.Direction = "rtl"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", page.Language)
	w.WriteHeader(status)
	_ = errorPageTemplate.Execute(w, page) // whoever has gone does not need it
}
