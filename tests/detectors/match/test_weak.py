from __future__ import annotations

import pytest

from tests.detectors.texts import engine

_COMPANY = {
    "beside a user": "$username = 'shop_app';\n$password = 'password123';\n",
    "in a login of a test": "{'email' => 'kim@acme.test', 'password' => 'Password123!'}",
    "in a comparison": 'if username == "admin" and password == "password123":\n',
    "digits of a database": "pymysql.connect(host='db1', user='root', passwd='12345678', db='shop')",
    "in a connection string": "Server=db1;Database=shop;User Id=app;Password=P@ssw0rd;",
    "behind a user's name in a DSN": 'dsn := "shop_user:secret123@tcp(db1:3306)/shop"',
    "in an element": "<username>kim@acme.test</username>\n<password>secret123</password>",
    "words in capitals with a year": "const secret = 'veryGardenShopKey2026!';",
    "four digits beside a user": "connect(host='db1', user='garden_app', passwd='3063', db='shop')",
    "told in brackets": "-- The first user (password is 'password123')\n",
    "three digits behind an address": 'let adminEmail = "kim@acme.test";\nlet adminPassword = "306";\n',
    "one digit again and again": "{ userName: 'kim', pwd: '888888', docId: 7 }",
    "in a property of XML": '<property name="user" value="root"/>\n<property name="password" value="59852369"/>',
    "what everybody chooses, in the environment": "SHOP_PASSWORD=admin123\n",
    "in Portuguese": '{ usuario: "kim", email: "kim@acme.test", senha: "senha123" },',
    "in Swedish": "Användarnamn: kim\nLösenord: sommar2024\n",
    "of a user further right in its object": '{"password":"password123","path":"/shop","port":80,"query":{"sort":'
    '"price","from":"spring"},"scheme":"https","username":"kim"}',
    "a word handed to a builder beside a host": 'captcha.New("10.47.108.155:6379", redis.WithPassword("orchidwu"))',
}
_NOT = {
    "who logs in, of a pair": "see http://10.0.0.9:8080 (User/Pass: `airflow` / `airflow`)",
    "what a form compares": 'if password == "required":\n',
    "what ends a loop": 'while (password != "quit") {',
    "what a test types wrong": "cy.get('#password').type('wrongone')",
    "a name in the place of a value": "ftp.login(user=user_ftp, passwd=pswd_FTP)",
    "the account of a store itself": "aws_access_key_id='orchidadmin', aws_secret_access_key='orchidadmin'",
    "a label in Portuguese": '{ usuario: "Nome", senha: "Senha" }',
    "alone": 'password = "password123"\n',
    "of no user of its object": '{"form":{"password":"password123","path":"/shop","port":80,"scheme":"https"},"rest":'
    '{"page":1},"username":"kim"}',
    "of a user inside of another": '{"password":"password123","path":"/shop","port":80,"scheme":"https",'
    '"rest":[{"page":1},{"username":"kim"}]}',
    "a row of keys alone": 'password = "qwertyuiop"',
    "a stand-in for a token": "jwt.verify(token, 'your-secret-key')",
    "a field of a form": 'User.objects.create_user(username="kim", password="password1")',
    "what manuals say of a user": "MYSQL_PASSWORD: mypassword\n",
    "what is chosen most, alone": 'password: "12345678"\n',
    "the same with signs": 'password = "P@ssw0rd"\n',
    "the same of a row of keys": 'password = "qwerty123"\n',
    "noughts alone": 'password: "00000000"\n',
    "a word with a number that is a name": "SHOP_PASSWORD=test1\n",
    "plain words": "{'email' => 'kim@acme.test', 'password' => 'password'}",
    "a rule of a form": "['email' => 'required|email', 'password' => 'required|min:6|confirmed']",
    "one that says so": "user=app password=your-password123\n",
    "a mask": "user: root\npassword: '********'\n",
    "a translation": '{"username": "Benutzername", "password": "Passwort"}',
    "a variable": 'connect(user="root", host="localhost", password=passwd1)',
    "a name of a secret": "secretName: 'garden-shop-db-2024'",
    "one that says what to do": "JWT_SECRET = 'your_jwt_secret_key_2024'",
    "a form called so": '{"username": "text", "password": "text"}',
    "prose": "Failed password for kim@acme.test from 10.0.0.7, passwd: changed by root\n",
    "a schema": '{"username": "string", "email": "kim@acme.test", "password": "string"}',
    "a variable of the same name": "login(user=gardenshop, password=gardenshop)",
    "a database behind no password": 'mysqli_connect("localhost", "root", "", "warehouses");',
    "a key of a store": "const SECRET_KEY = 'garden.secretOpened';",
    "a stand-in for Express": "app.use(session({ secret: 'my secret', resave: false }));",
    "only a secret key": "app.config['SECRET_KEY'] = 'mysecretkey'\n",
    "a name of a property": 'static final String DB_PASSWORD = "database.password";',
    "its own name": 'const dbPassword = "dbpass";\nDB_PASS=db_pass\n',
    "a type": "POSTGRES_PASSWORD: str\nPOSTGRES_USER: str\n",
    "a prompt": 'uname = "Username:"\npassword = "ssword"\n',
    "numbers below a heading": "# 2.2.1.4 Values\nREAD_PASSWORD_PARAMETERS = 0x00000001\n",
    "a type in a table": '(("userName", "string", "v.version.version1"), ("password", "string", "v.version.version1"))',
    "a question": '"passwordRecovery_SecretQuestion" = "Poufne pytanie";',
    "a row of digests": "INSERT INTO staff (id, password, role)\nVALUES (1, '81dc9bdb52d04dc20036dbd8313ed055', 0);",
    "what is asked for later": "codesigning.storepass=request-via-pipe\n",
    "a label of a map": '{"username": "Nutzer", "adminPassword": "Kennung"}',
    "a word that everybody writes": 'password = "letmein"',
    "a mask of letters": "connect(host='10.0.0.9', user='root', passwd='xxxxxxxxxxxxxxxx')",
    "nothing behind a user": 'user: "garden", password: "", host: "db1"',
    "the same short name twice": "user: 'root', password: 'root', host: 'db1'",
    "a role behind a role": "roles: admin / editor2\n",
    "an address behind an address": "kim@acme.test | kim2@acme.test\n",
    "a name in a row": "INSERT INTO users VALUES (1, 'admin', 'admin2', 'x')",
    "a map of a program": "{\n  username: gardener,\n  password: orchids\n}",
    "types on lines": "username: string\npassword: secure\n",
    "labels on lines": "username: Benutzer\npassword: Kennung\n",
    "of another kind": '{"user": "root", "token": "identifier12"}',
}


@pytest.mark.parametrize("text", _COMPANY.values(), ids=_COMPANY)
def test_a_badly_chosen_password_is_told_quietly_where_its_place_speaks_for_it(text: str) -> None:
    found = engine().worker().scan(text.encode())
    assert [match.confidence for match in found] == ["low"], found


@pytest.mark.parametrize("text", _NOT.values(), ids=_NOT)
def test_what_only_stands_in_for_a_password_is_not_told(text: str) -> None:
    assert not engine().worker().scan(text.encode())


def test_the_reason_says_why_it_is_told() -> None:
    decisions = engine().worker().explain(_COMPANY["beside a user"].encode())
    assert any(d.accepted and "badly chosen password" in d.reason for d in decisions)
