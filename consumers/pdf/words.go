package pdf

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
)

// words are what documents say in one language.
type words struct {
	tag         language.Tag
	rightToLeft bool

	reportCard, receipt, statement string

	student, studentID, class, gradeLevel, bornOn, issuedOn string
	subject, marks, average, overall, rank, rankOf          string // rankOf has the place and the number of students
	attendance, attended, present, late, excused, unexcused string
	remarks, classTeacher, head, guardian                   string
	classAverage, assessment, score                         string
	term                                                    string // has the number of a term
	noMarks                                                 string
	number, receivedFrom, receivedOn, amount, method        string
	forFee, invoice, period, thanks                         string
	date, description, charge, credit, balance, balanceDue  string
	overpaid, broughtForward, settled, noEntries, opening   string
	amountsIn, dueOn, overdue                               string // with a currency, a day and an amount
	page                                                    string // has the page's number and how many there are
	methods, entries                                        map[string]string
}

// grammar is how a language writes numbers and dates.
type grammar = wording.Grammar

var spoken = []words{
	{
		tag:        language.English,
		reportCard: "Report card", receipt: "Receipt", statement: "Statement of fees",
		student: "Student", studentID: "Student no.", class: "Class", gradeLevel: "Grade", bornOn: "Date of birth", issuedOn: "Issued on",
		subject: "Subject", marks: "Marks", average: "Average", overall: "Overall average", rank: "Rank in class", rankOf: "%s of %s",
		attendance: "Attendance", attended: "Attendance rate", present: "Present", late: "Late", excused: "Absent, excused", unexcused: "Absent, unexcused",
		remarks: "Remarks", classTeacher: "Class teacher", head: "Head of school", guardian: "Parent or guardian",
		term: "Term %s", classAverage: "Class", assessment: "Assessment", score: "Score",
		noMarks: "There are no marks for this term.",
		number:  "Receipt no.", receivedFrom: "Received from", receivedOn: "Received on", amount: "Amount received", method: "Paid by",
		forFee: "For", invoice: "Invoice", period: "Period", thanks: "Thank you. Please keep this receipt.",
		date: "Date", description: "Description", charge: "Charged", credit: "Credited", balance: "Balance", balanceDue: "Balance due",
		overpaid: "In your favour", broughtForward: "Carried over", settled: "Settled", noEntries: "There are no entries on this account.",
		opening: "Balance brought forward", amountsIn: "Amounts in %s", dueOn: "due %s", overdue: "of which overdue: %s",
		page:    "Page %s of %s",
		methods: map[string]string{"cash": "Cash", "card": "Card", "bank": "Bank transfer", "mobile_money": "Mobile money"},
		entries: map[string]string{"invoice": "Invoice", "payment": "Payment", "reversal": "Payment taken back", "waiver": "Waiver"},
	},
	{
		tag:        language.Spanish,
		reportCard: "Boletín de calificaciones", receipt: "Recibo", statement: "Estado de cuenta",
		student: "Estudiante", studentID: "N.º de estudiante", class: "Clase", gradeLevel: "Curso", bornOn: "Fecha de nacimiento", issuedOn: "Emitido el",
		subject: "Asignatura", marks: "Notas", average: "Promedio", overall: "Promedio general", rank: "Puesto en la clase", rankOf: "%s de %s",
		attendance: "Asistencia", attended: "Tasa de asistencia", present: "Presente", late: "Retrasos", excused: "Ausencias justificadas", unexcused: "Ausencias injustificadas",
		remarks: "Observaciones", classTeacher: "Tutor de la clase", head: "Dirección", guardian: "Padre, madre o tutor",
		term: "Periodo %s", classAverage: "Clase", assessment: "Evaluación", score: "Puntos",
		noMarks: "No hay notas de este periodo.",
		number:  "Recibo n.º", receivedFrom: "Recibido de", receivedOn: "Recibido el", amount: "Importe recibido", method: "Forma de pago",
		forFee: "Concepto", invoice: "Factura", period: "Periodo", thanks: "Gracias. Conserve este recibo.",
		date: "Fecha", description: "Concepto", charge: "Cargo", credit: "Abono", balance: "Saldo", balanceDue: "Saldo pendiente",
		overpaid: "Saldo a su favor", broughtForward: "Suma anterior", settled: "Saldado", noEntries: "No hay movimientos en esta cuenta.",
		opening: "Saldo anterior", amountsIn: "Importes en %s", dueOn: "vence el %s", overdue: "de ello vencido: %s",
		page:    "Página %s de %s",
		methods: map[string]string{"cash": "Efectivo", "card": "Tarjeta", "bank": "Transferencia bancaria", "mobile_money": "Dinero móvil"},
		entries: map[string]string{"invoice": "Factura", "payment": "Pago", "reversal": "Pago anulado", "waiver": "Exención"},
	},
	{
		tag:        language.French,
		reportCard: "Bulletin scolaire", receipt: "Reçu", statement: "Relevé de compte",
		student: "Élève", studentID: "N° d’élève", class: "Classe", gradeLevel: "Niveau", bornOn: "Date de naissance", issuedOn: "Établi le",
		subject: "Matière", marks: "Notes", average: "Moyenne", overall: "Moyenne générale", rank: "Rang dans la classe", rankOf: "%s sur %s",
		attendance: "Assiduité", attended: "Taux de présence", present: "Présences", late: "Retards", excused: "Absences excusées", unexcused: "Absences non excusées",
		remarks: "Appréciations", classTeacher: "Professeur principal", head: "Direction", guardian: "Parent ou tuteur",
		term: "Période %s", classAverage: "Classe", assessment: "Évaluation", score: "Note",
		noMarks: "Il n’y a pas de notes pour cette période.",
		number:  "Reçu n°", receivedFrom: "Reçu de", receivedOn: "Reçu le", amount: "Montant reçu", method: "Mode de paiement",
		forFee: "Objet", invoice: "Facture", period: "Période", thanks: "Merci. Veuillez conserver ce reçu.",
		date: "Date", description: "Libellé", charge: "Débit", credit: "Crédit", balance: "Solde", balanceDue: "Solde à payer",
		overpaid: "Solde en votre faveur", broughtForward: "Report", settled: "Soldé", noEntries: "Il n’y a pas d’écritures sur ce compte.",
		opening: "Solde précédent", amountsIn: "Montants en %s", dueOn: "échéance %s", overdue: "dont en retard : %s",
		page:    "Page %s sur %s",
		methods: map[string]string{"cash": "Espèces", "card": "Carte", "bank": "Virement bancaire", "mobile_money": "Paiement mobile"},
		entries: map[string]string{"invoice": "Facture", "payment": "Paiement", "reversal": "Paiement annulé", "waiver": "Remise"},
	},
	{
		tag:        language.Portuguese,
		reportCard: "Boletim escolar", receipt: "Recibo", statement: "Extrato da conta",
		student: "Estudante", studentID: "N.º de estudante", class: "Turma", gradeLevel: "Ano", bornOn: "Data de nascimento", issuedOn: "Emitido em",
		subject: "Disciplina", marks: "Notas", average: "Média", overall: "Média geral", rank: "Posição na turma", rankOf: "%s de %s",
		attendance: "Assiduidade", attended: "Taxa de presença", present: "Presenças", late: "Atrasos", excused: "Faltas justificadas", unexcused: "Faltas injustificadas",
		remarks: "Observações", classTeacher: "Professor da turma", head: "Direção", guardian: "Encarregado de educação",
		term: "Período %s", classAverage: "Turma", assessment: "Avaliação", score: "Nota",
		noMarks: "Não há notas deste período.",
		number:  "Recibo n.º", receivedFrom: "Recebido de", receivedOn: "Recebido em", amount: "Valor recebido", method: "Forma de pagamento",
		forFee: "Referente a", invoice: "Fatura", period: "Período", thanks: "Obrigado. Guarde este recibo.",
		date: "Data", description: "Descrição", charge: "Débito", credit: "Crédito", balance: "Saldo", balanceDue: "Saldo a pagar",
		overpaid: "Saldo a seu favor", broughtForward: "Transporte", settled: "Liquidado", noEntries: "Não há movimentos nesta conta.",
		opening: "Saldo anterior", amountsIn: "Valores em %s", dueOn: "vence em %s", overdue: "dos quais em atraso: %s",
		page:    "Página %s de %s",
		methods: map[string]string{"cash": "Dinheiro", "card": "Cartão", "bank": "Transferência bancária", "mobile_money": "Dinheiro móvel"},
		entries: map[string]string{"invoice": "Fatura", "payment": "Pagamento", "reversal": "Pagamento anulado", "waiver": "Isenção"},
	},
	{
		tag: language.Arabic, rightToLeft: true,
		reportCard: "كشف الدرجات", receipt: "إيصال", statement: "كشف حساب الرسوم",
		student: "الطالب", studentID: "رقم الطالب", class: "الصف", gradeLevel: "المرحلة", bornOn: "تاريخ الميلاد", issuedOn: "تاريخ الإصدار",
		subject: "المادة", marks: "العلامات", average: "المعدل", overall: "المعدل العام", rank: "الترتيب في الصف", rankOf: "%s من %s",
		attendance: "الحضور", attended: "نسبة الحضور", present: "حاضر", late: "متأخر", excused: "غياب بعذر", unexcused: "غياب بدون عذر",
		remarks: "ملاحظات", classTeacher: "مربي الصف", head: "مدير المدرسة", guardian: "ولي الأمر",
		term: "الفصل %s", classAverage: "الصف", assessment: "التقييم", score: "العلامة",
		noMarks: "لا توجد علامات لهذا الفصل.",
		number:  "رقم الإيصال", receivedFrom: "استلمنا من", receivedOn: "تاريخ الاستلام", amount: "المبلغ المستلم", method: "طريقة الدفع",
		forFee: "مقابل", invoice: "الفاتورة", period: "الفترة", thanks: "شكرًا لكم. يرجى الاحتفاظ بهذا الإيصال.",
		date: "التاريخ", description: "البيان", charge: "مدين", credit: "دائن", balance: "الرصيد", balanceDue: "الرصيد المستحق",
		overpaid: "رصيد لصالحكم", broughtForward: "منقول", settled: "مسدد", noEntries: "لا توجد حركات في هذا الحساب.",
		opening: "الرصيد السابق", amountsIn: "المبالغ بعملة %s", dueOn: "تستحق في %s", overdue: "منها متأخر: %s",
		page:    "صفحة %s من %s",
		methods: map[string]string{"cash": "نقدًا", "card": "بطاقة", "bank": "تحويل بنكي", "mobile_money": "محفظة الهاتف"},
		entries: map[string]string{"invoice": "فاتورة", "payment": "دفعة", "reversal": "دفعة مستردة", "waiver": "إعفاء"},
	},
}

// languages matches what somebody reads with what is spoken.
func languages() language.Matcher {
	tags := make([]language.Tag, len(spoken))
	for i := range spoken {
		tags[i] = spoken[i].tag
	}
	return language.NewMatcher(tags)
}

// localized returns the words of the language nearest to the wanted one, and how that writes numbers in the wanted country.
func localized(m language.Matcher, wanted string) (*words, *grammar) {
	tag, err := language.Parse(wanted)
	if err != nil {
		tag = language.Und // a well-formed tag may name a language that does not exist
	}
	_, i, _ := m.Match(tag)
	w := &spoken[i]
	local := w.tag
	if region, confidence := tag.Region(); confidence == language.Exact {
		if composed, err := language.Compose(w.tag, region); err == nil {
			local = composed
		}
	}
	return w, wording.NewGrammar(local)
}

// named returns what a name is called, or else the name as a heading.
func named(names map[string]string, name string) string {
	if n, ok := names[name]; ok {
		return n
	}
	return heading(name)
}

// heading begins a name with a capital, as schools write "maths" and "autumn" in their events.
func heading(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	if size == 0 || !unicode.IsLower(first) {
		return name
	}
	return string(unicode.ToUpper(first)) + name[size:]
}

// termOf returns what a term is called: schools that only number theirs mean "Term 1".
func (s *sheet) termOf(term domain.Label) string {
	name := string(term)
	if wording.Numbered(term) {
		return fmt.Sprintf(s.term, name)
	}
	return heading(name)
}
