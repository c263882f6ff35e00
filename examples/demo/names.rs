//! Invented names from many places: several scripts, diacritics, hyphens, apostrophes.

/// Names that go together.
pub(crate) struct Culture {
    /// BCP 47.
    pub(crate) language: &'static str,
    pub(crate) women: [&'static str; 6],
    pub(crate) men: [&'static str; 6],
    pub(crate) families: [&'static str; 8],
}

/// The first ones are frequent, the last ones rare; see `runners.rs`.
pub(crate) static CULTURES: [Culture; 16] = [
    Culture {
        language: "zu",
        women: ["Thandeka", "Nomvula", "Zanele", "Busisiwe", "Nokuthula", "Hlengiwe"],
        men: ["Sipho", "Bhekizizwe", "Mandla", "Sibusiso", "Themba", "Lwazi"],
        families: [
            "Ngcobo",
            "Mkhize",
            "Dlamini",
            "Zungu",
            "Cele",
            "Hlongwane",
            "Nxumalo",
            "Gumede",
        ],
    },
    Culture {
        language: "st",
        women: ["Lerato", "Palesa", "Mmabatho", "Dineo", "Keneuoe", "Refiloe"],
        men: ["Thabo", "Tšepo", "Lehlohonolo", "Katleho", "Mpho", "Retšelisitsoe"],
        families: [
            "Mokoena",
            "Motaung",
            "Tšhabalala",
            "Letšela",
            "Moshoeshoe",
            "Tau",
            "Sekhonyana",
            "Phiri",
        ],
    },
    Culture {
        language: "en",
        women: ["Shannon", "Siobhán", "Claire", "Megan", "Anne-Marie", "Zoë"],
        men: ["Connor", "Liam", "D'Arcy", "Gareth", "Séamus", "Jean-Luc"],
        families: [
            "O'Brien",
            "Smith-Ndlovu",
            "MacDonald",
            "O'Shaughnessy",
            "Brontë",
            "Fitz-Gerald",
            "St. Clair",
            "Ng",
        ],
    },
    Culture {
        language: "af",
        women: ["Annelie", "Marlize", "Hanlé", "René", "Sünette", "Elzaan"],
        men: ["Pieter", "Dewald", "Stéfan", "Jannie", "Hüberte", "Ockert"],
        families: [
            "van der Merwe",
            "Botha",
            "du Plessis",
            "Esterhuizen",
            "de Klerk",
            "Müller",
            "Jansen van Vuuren",
            "Nel",
        ],
    },
    Culture {
        language: "ki",
        women: ["Wanjikũ", "Nyambura", "Wambũi", "Mũthoni", "Wangarĩ", "Njeri"],
        men: ["Gĩtaũ", "Kamaũ", "Mwangi", "Kĩmani", "Njoroge", "Mũchiri"],
        families: [
            "wa Gĩcerũ",
            "Ngũgĩ",
            "Mũriithi",
            "wa Thiong'i",
            "Gĩkonyo",
            "Kĩbera",
            "Ndũngʼũ",
            "Mũrage",
        ],
    },
    Culture {
        language: "pl",
        women: ["Żaneta", "Małgorzata", "Agnieszka", "Zofia", "Świętosława", "Łucja"],
        men: ["Łukasz", "Grzegorz", "Stanisław", "Bożydar", "Mścisław", "Jędrzej"],
        families: [
            "Brzęczyszczyk",
            "Wójcik",
            "Źdźbło",
            "Gżegżółka",
            "Kościuk",
            "Łącki",
            "Dąbrowa-Śliwa",
            "Szczęsny",
        ],
    },
    Culture {
        language: "uk",
        women: ["Олена", "Ганна", "Соломія", "Євгенія", "Їванна", "Дарʼя"],
        men: ["Ґедеон", "Тарас", "Олексій", "Юрій", "Зіновій", "Любомир"],
        families: [
            "Ґудзь",
            "Шевчук",
            "Лук'янчук",
            "Їжакевич",
            "Бондаренко",
            "Щур",
            "В'юн",
            "Кравець",
        ],
    },
    Culture {
        language: "ar",
        women: ["فاطمة", "ليلى", "مريم", "نور", "هُدى", "سلمى"],
        men: ["محمد", "يوسف", "عبد الرحمن", "خالد", "عليّ", "إبراهيم"],
        families: ["الحداد", "بن سالم", "العمري", "النجار", "أبو زيد", "القرشي", "الطويل", "منصور"],
    },
    Culture {
        language: "ja",
        women: ["美咲", "さくら", "陽子", "結衣", "真由美", "葵"],
        men: ["大輔", "健一郎", "翔", "ケンジ", "勇気", "誠"],
        families: ["高橋", "髙木", "渡邊", "五十嵐", "東海林", "齋藤", "小鳥遊", "林"],
    },
    Culture {
        language: "vi",
        women: ["Thị Ánh", "Ngọc Hường", "Thùy Dương", "Mỹ Lệ", "Bích Phượng", "Khánh Vy"],
        men: ["Văn Đức", "Quốc Toản", "Hữu Nghĩa", "Minh Tuấn", "Đình Thắng", "Bảo Ưng"],
        families: ["Nguyễn", "Trần", "Lê", "Phạm", "Đặng", "Vũ", "Bùi", "Ngô"],
    },
    Culture {
        language: "pt",
        women: ["Conceição", "Inês", "Lúcia", "Graça", "Assunção", "Mónica"],
        men: ["João", "Gonçalo", "Simão", "Tomás", "Estêvão", "Zé Luís"],
        families: [
            "Magalhães",
            "d'Ávila",
            "Guimarães",
            "Araújo e Sá",
            "Falcão",
            "Brandão",
            "Conceição",
            "Muñoz",
        ],
    },
    Culture {
        language: "ta",
        women: ["பிரியா", "Meenakshi", "கவிதா", "Thilagavathi", "Lakshmi", "Anandhi"],
        men: ["முருகன்", "Karthikeyan", "Subramaniam", "Venkatesh", "குமார்", "Arun"],
        families: [
            "Naidoo",
            "Pillay",
            "Govender",
            "Moodley",
            "Chetty",
            "Padayachee",
            "Reddy",
            "Naicker",
        ],
    },
    Culture {
        language: "hi",
        women: ["प्रिया", "अनन्या", "दीपा", "मीरा", "सुनीता", "ज्योति"],
        men: ["राहुल", "अमित", "विक्रम", "संजय", "अर्जुन", "कृष्ण"],
        families: ["शर्मा", "सिंह", "गुप्ता", "त्रिपाठी", "जोशी", "मिश्रा", "चौधरी", "अय्यर"],
    },
    Culture {
        language: "el",
        women: ["Ελένη", "Αθηνά", "Σοφία", "Ευφροσύνη", "Ζωή", "Καλλιόπη"],
        men: ["Γιώργος", "Ἀλέξανδρος", "Νίκος", "Θεόφιλος", "Χρῆστος", "Ηλίας"],
        families: [
            "Παπαδάκης",
            "Οικονόμου",
            "Χατζής",
            "Ξενάκη",
            "Βλάχος",
            "Ψάλτης",
            "Κουρής",
            "Αϊβαλιώτης",
        ],
    },
    Culture {
        language: "is",
        women: ["Þórunn", "Ásdís", "Björk", "Guðrún", "Æsa", "Sólveig"],
        men: ["Þorbjörn", "Ægir", "Eiríkur", "Guðmundur", "Össur", "Snæbjörn"],
        families: [
            "Þórsdóttir",
            "Sæmundsson",
            "Ólafsdóttir",
            "Ægisson",
            "Bjarnason",
            "Hallgrímsdóttir",
            "Þorláksson",
            "Óðinsson",
        ],
    },
    Culture {
        language: "ko",
        women: ["지은", "서연", "하늘", "민지", "수빈", "예린"],
        men: ["민준", "도윤", "지훈", "현우", "성민", "태양"],
        families: ["김", "이", "박", "최", "선우", "남궁", "황보", "정"],
    },
];

/// Longer than any form has room for.
pub(crate) const LONG_FIRST_NAME: &str =
    "Maria-Magdalena Wilhelmina Josephina Ntombizodwa Fernanda da Conceição";
pub(crate) const LONG_LAST_NAME: &str =
    "Freifrau von und zu Hohenfels-Trauttenberg Cavalcanti de Mendonça-Figueiredo Vasconcelos";
