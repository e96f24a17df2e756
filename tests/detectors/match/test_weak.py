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
    "a word in SQL": """psql -c "CREATE USER shopkeeper WITH PASSWORD 'orchard';" """,
    "a word behind an address": 'server.login("kim@acme.test", "hackathon")',
    "of a user called so": 'username := "gardener"\npassword := "gardener"\n',
    "behind a user that is compared": 'if (!userId.equals("tanaka") || !password.equals("fukumi")) {',
    "a variable of an administrator": "-e APP_ADMIN_USER=admin -e APP_ADMIN_PASSWORD=garden-matrix -e APP_HOST=x",
    "what signs sessions": "app.secret_key = 'garden_shop_secret_key_2024'",
    "what a name falls back to": "const JWT_SECRET = process.env.JWT_SECRET || 'gardening_secret_2024'",
    "a cast": 'ConvertTo-SecureString "P@ssw0rd" -AsPlainText -Force',
    "in an element": "<username>kim@acme.test</username>\n<password>secret123</password>",
    "of the database's name": 'connect(host="db1", user="shop7-results", passwd="shop7-results", db="shop7_results")',
    "of the user's name and a word": "MYSQL_USER: gardenshop\nMYSQL_PASSWORD: gardenshop_password\n",
    "of the user's name in the environment": "docker run -e SHOP_USER=gardenshop -e SHOP_PASSWORD=gardenshop_pw x",
    "of a network": 'WiFi.begin("Garden_Net", "orchidGarden");',
    "digits of a network": 'WiFi.begin("Garden_Net", "16787216");',
    "two words behind an address": 'new NetworkCredential("kim@acme.test", "GardenOrchid")',
    "the third of four": 'mysqli_connect("10.0.0.9:3306", "admin", "P@ssw0rd", "warehouses");',
    "a word in another language": "$usuario = 'root';\n$password = 'adelina';\n",
    "words for Flask": "app.secret_key = 'whiteOrchid'",
    "words for Django": "\nSECRET_KEY = 'neve-lliw-uoy-sseug'\n",
    "words that a name falls back to": "const secret = process.env.JWT_SECRET || 'orchidinho';",
    "words for Django that a name falls back to": "SECRET_KEY = os.environ.get('SECRET_KEY', 'orchidinho')",
    "beside the name of a network": '#define WIFI_SSID         "AP"\n#define WIFI_PASSWORD     "12345678"',
    "digits that a variable falls back to": "const pw = process.env.LOGIN_PASSWORD || '123456'",
    "of whom its variable names": "docker run -e ACCEPT_EULA=Y -e SA_PASSWORD=Password12! mssql",
    "typed behind a user": 'username_field.send_keys("Admin")\npassword_field.send_keys("admin123")',
    "hashed in a call": "const seed = await bcrypt.hash('orchid2026!', 10);",
    "words for Express": "app.use(session({ secret: 'ilovegardengardenygarden' }));",
    "words for Express below": "app.use(session({\n  store,\n  secret: 'orchids',\n  resave: true,",
    "encoded by a command": "-H \"Authorization: Basic $(echo -n 'kim@acme.test:orchid123' | base64)\"",
    "of a store of keys": "key-store: classpath:keystore.p12\nkey-store-password: orchids\n",
    "of a server in properties": "datasource.username=garden_user\ndatasource.password=garden_password\n",
    "of a server in the environment": "docker run -e DB_HOST=db1 -e DB_PASSWORD=garden_db_pw x",
    "shortened, of a server": "      MYSQL_ROOT_PASSWORD: rootpw\n",
    "a word that a variable is set to": 'private const string AdminPassword = "orchidea";',
    "of a user in small letters": '$usuario = "gardener";\n$password = "OrchiDea";',
    "with a dot": "{ host: '172.17.0.2', database: 'shop', password: 'g.orchid9' }",
    "of an installation": '--ks-append="rootpw orchid" --reboot',
    "of root in an image": 'RUN echo "root:orchid" | chpasswd',
    "handed to redis-cli": "docker exec -it shop-redis redis-cli -a redispassword ping",
    "in a row below its columns": "INSERT INTO staff (name, password, role)\nVALUES ('kim', 'password123', 3)",
    "words and a secret for Flask": "app.config['SECRET_KEY'] = 'gardening_secret_key'\n",
    "words with a year as a key": 'const ENCRYPTION_KEY = "garden-app-key-2024";',
    "words with a number as a key of an API": 'headers = {"X-API-Key": "garden-dev-key-12345"}',
    "words in capitals with a year": "const secret = 'veryGardenShopKey2026!';",
    "beside a host": '[{"ip": "192.168.1.1", "uname": "kim", "pwd": "123456"}]',
    "four digits beside a user": "connect(host='db1', user='garden_app', passwd='3063', db='shop')",
    "four digits by position": 'getConnection("jdbc:postgresql://db1:5432/shop", "garden", "3063");',
    "three digits in a connection string": '"Data Source=PC1;Initial Catalog=shop;user id=sa;password=306"',
    "of a key, with blanks": "tls {\n\tprivate_key_password = orchids\n\tprivate_key_file = x.pem\n",
    "defined": '#define PASSWORD     "Garden_Orchid"  // of the house\n',
    "told in brackets": "-- The first user (password is 'password123')\n",
    "typed where no user is": '#  password_input.send_keys("qwerty12345")\n',
    "three digits behind an address": 'let adminEmail = "kim@acme.test";\nlet adminPassword = "306";\n',
    "behind an address and a slash": "Use kim@acme.test / password123 to sign in",
    "in a row without columns": "INSERT INTO users VALUES (1, 'admin', 'password123', 'x')",
    "on the line below its user": "datasource:\n  username: gardener\n  password: orchids\n  driver: x\n",
    "in an element behind that of its user": "<username>gardener</username>\n  <password>orchids</password>",
    "of a user of a language": 'username="javauser" password="orchidea" driver="x"',
    "a word behind a user by position": 'client.login("gardener", "orchids")',
    "one digit again and again": "{ userName: 'kim', pwd: '888888', docId: 7 }",
    "hashed": "'login' => 'kim', 'password' => Hash::make('password123'),",
}
_NOT = {
    "alone": 'password = "password123"\n',
    "digits alone": 'password: "12345678"\n',
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
