package simulate

import "strings"

// culture is a set of names that occur together.
type culture struct {
	given, family []string
	language      string
}

func words(s string) []string {
	list := strings.Fields(s)
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "_", " ")
	}
	return list
}

// The cultures whose families go to the simulated schools, as indexes of cultures.
const (
	english = iota
	spanish
	french
	german
	slavic
	arabic
	hebrew
	chinese
	vietnamese
	hindi
	nigerian
	kenyan
	turkish
)

// In the lists, a space within a name is written as an underscore.
var cultures = []culture{
	{
		given:    words("Amelia Oliver Grace Noah Isla George Freya Arthur Ivy Leo Ruby Theo Alice Harry Maeve Seán Niamh Rhys"),
		family:   words("Smith Taylor O’Connor Williams Evans Hughes Murphy Clarke Wright Bennett MacDonald Byrne Walsh Shaw"),
		language: "en",
	},
	{
		given:    words("Sofía Mateo Valentina Santiago Camila Sebastián Lucía Nicolás Martín Ximena Joaquín Inés Andrés María_José"),
		family:   words("García Rodríguez Martínez Hernández López Núñez Muñoz Peña Ibáñez Ramírez Vásquez Ordóñez"),
		language: "es",
	},
	{
		given:    words("Chloé Léa Éloïse Hugo Raphaël Zoé Théo Maëlys Gaël Noémie François Jérôme Anaïs"),
		family:   words("Lefèvre Dubois Béranger Moreau Garçon Lemaître Desprès Lévêque Durand Noël"),
		language: "fr",
	},
	{
		given:    words("Jürgen Anneliese Björn Käthe Lukas Greta Jonas Frieda Matthäus Zoë Søren Åse"),
		family:   words("Müller Schäfer Weiß Jäger Köhler Großmann Schröder Böhm Østergård Lindström"),
		language: "de",
	},
	{
		given:    words("Łukasz Zofia Michał Agnieszka Stanisław Żaneta Jiří Růžena Šimon Eliška"),
		family:   words("Wiśniewski Wójcik Kowalczyk Żukowski Łuczak Novák Dvořák Horváth Kučera"),
		language: "pl",
	},
	{
		given:    words("ليلى يوسف مريم عمر فاطمة خالد نور إبراهيم سارة زيد هالة طارق"),
		family:   words("حداد الخطيب منصور النجار صالح العلي الشامي درويش عبد_الله"),
		language: "ar",
	},
	{
		given:    words("נועה איתן תמר יונתן שירה אורי מיכל דניאל"),
		family:   words("כהן לוי מזרחי פרץ ביטון אברהם בן־דוד"),
		language: "he",
	},
	{
		given:    words("小明 美玲 子涵 浩然 雨桐 志强 思远 佳怡"),
		family:   words("王 李 张 刘 陈 欧阳 黄 周"),
		language: "zh",
	},
	{
		given:    words("Anh Minh Hương Đức Thảo Quân Ngọc Tuấn Trang Hiếu"),
		family:   words("Nguyễn Trần Lê Phạm Hoàng Đặng Bùi Đỗ"),
		language: "vi",
	},
	{
		given:    words("आरव अनन्या विहान दीया अर्जुन ईशा रोहन काव्या"),
		family:   words("शर्मा वर्मा सिंह गुप्ता पटेल मिश्रा"),
		language: "hi",
	},
	{
		given:    words("Adébáyọ̀ Chiamaka Olúwaṣeun Ngozi Emeka Ìfẹ́olúwa Tunde Amarachi Babátúndé Zainab"),
		family:   words("Okonkwo Adéyẹmí Ọláníyan Eze Balogun Nwachukwu Ìbíkúnlé Musa"),
		language: "en",
	},
	{
		given:    words("Wanjikũ Otieno Achieng Kamau Nyambura Kiprono Zawadi Baraka Imani Juma"),
		family:   words("Mwangi Odhiambo Kĩmani Cheruiyot Wambũi Njoroge Hassan Mutua"),
		language: "sw",
	},
	{
		given:    words("Ayşe Çağla Emre Gülşen Ömer Şükrü Işıl Oğuz İpek Yiğit"),
		family:   words("Yılmaz Öztürk Şahin Çelik Aydın Koç Güneş Doğan"),
		language: "tr",
	},
}
