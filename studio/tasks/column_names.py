"""Names of columns in the page's other languages: German, French, Spanish and Chinese.

Each name is in lower case. The names in English are in the task that owns the role.
"""

PROMPT = tuple(
    "frage, kundenfrage, anfrage, kundenanfrage, eingabe, nachricht, aufgabe, anweisung, "
    "demande, requête, consigne, entrée, pregunta, consulta, solicitud, instrucción, entrada, mensaje, "
    "问题, 提问, 指令, 输入".split(", ")
)
REPLY = tuple(
    "antwort, ausgabe, lösung, réponse, sortie, respuesta, salida, contestación, 回答, 答案, 回复, 输出".split(", ")
)
TEXT = tuple(
    "satz, kommentar, nachricht, rezension, beschreibung, betreff, titel, anfrage, frage, "
    "texte, phrase, commentaire, avis, description, titre, objet, texto, frase, comentario, mensaje, reseña, "
    "descripción, título, asunto, 文本, 句子, 评论, 内容, 标题".split(", ")
)
LABEL = tuple(
    "kategorie, klasse, thema, stimmung, abteilung, priorität, étiquette, catégorie, classe, thème, sujet, humeur, "
    "etiqueta, categoría, clase, tema, sentimiento, departamento, prioridad, 标签, 类别, 分类, 情感".split(", ")
)
