# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a small hospital in an empty database: institution, users, patients
and exams.  It uses a proteus configuration only, so it works over the network
as well as inside a test."""
import datetime as dt
from collections import namedtuple

from proteus import Model

# Of the tests; the demonstration has another one in each run.
PASSWORD = 'imaging-demo-5'
TIMEZONE = 'Asia/Kathmandu'
INSTITUTION = "Sagarmatha Demonstration Hospital"

Person = namedtuple('Person', 'given family birth gender puid layout')
#: A clinical question that such exams are ordered with comes with them.
Exam = namedtuple('Exam', 'code name modality aetitle template_type template '
    'product question body_part contrast preparation side',
    defaults=[None] * 3)
Login = namedtuple('Login', 'login person groups')

DOCTOR = Login('doctor',
    Person("Amélie", "Lindqvist", dt.date(1975, 5, 17), 'f', 'DOC001', 'pgfs'),
    ['health.group_health_doctor'])
RADIOGRAPHER = Login('radiographer',
    Person("Bina", "Tamang", dt.date(1988, 3, 9), 'f', 'RGR001', 'pgfs'),
    ['health_imaging.group_health_imaging'])
RADIOLOGIST = Login('radiologist',
    Person("Tomás", "Okafor", dt.date(1969, 11, 2), 'm', 'RAD001', 'pgfs'),
    ['health.group_health_doctor',
        'health_imaging.group_health_imaging_reporting',
        'health_orthanc.group_imaging_orthanc'])
LOGINS = [DOCTOR, RADIOGRAPHER, RADIOLOGIST]
#: What opens for each of them after login, an action by login.
FIRST_SCREENS = {
    DOCTOR.login: 'health_imaging.act_my_orders',
    RADIOGRAPHER.login: 'health_imaging.act_worklist',
    RADIOLOGIST.login: 'health_imaging.act_reading_list',
    }

LATIN = Person(
    "José María", "Ñúñez Müller", dt.date(1984, 2, 29), 'm', 'JMN840229', 'fg')
CHINESE = Person("丽华", "陈", dt.date(1990, 10, 1), 'f', 'CLH901001', 'cjk')
CYRILLIC = Person(
    "Наталья Сергеевна", "Соколова", dt.date(1957, 7, 8), 'f', 'NSS570708',
    'fg')
#: Who must not have what is ordered for her without a reason.
ALLERGIC = Person(
    "Maria", "Garcia", dt.date(1958, 4, 3), 'f', 'GAM580403', 'pgfs')
PATIENTS = [LATIN, CHINESE, CYRILLIC, ALLERGIC]
ALLERGY = "Allergy to iodinated contrast medium"
#: In mg/dL.
CREATININE = 1.9
#: What the orders are checked with, in databases that have it.
SOFT_MODULES = ('health_gyneco', 'health_lab')

CT_HEAD = Exam('CTHEAD', "CT head", 'CT', 'CT1', 'dump2dcm',
    'health_imaging_worklist.worklist_template_ct_dump2dcm',
    'health_imaging.product_product_ctscancharges',
    "Bleeding after the fall?", 'HEAD')
CT_CONTRAST = Exam(
    'CTABDO', "CT abdomen and pelvis with contrast", 'CT', 'CT2', 'json',
    'health_imaging_worklist.worklist_template_ct_json',
    'health_imaging.product_product_ctscancharges',
    "Abscess?", 'ABDOMENPELVIS', 'iodinated',
    "Nothing to eat for four hours before the exam. Drink one litre of water "
    "in the last hour.")
CHEST = Exam('XRCHEST', "Chest X-ray", 'CR', 'XR1', 'json',
    'health_imaging_worklist.worklist_template_cr_dx_json',
    'health_imaging.product_product_xraycharges', "Pneumonia?", 'CHEST')
ULTRASOUND = Exam('USABDO', "Ultrasound abdomen", 'US', 'US1', 'dump2dcm',
    'health_imaging_worklist.worklist_template_us_dump2dcm',
    'health_imaging.product_product_ultrasoundcharges',
    "Gallstones?", 'ABDOMEN', None,
    "Nothing to eat for six hours before the exam.")
EXAMS = [CT_HEAD, CHEST, ULTRASOUND, CT_CONTRAST]


def xml_record(config, name):
    """Return the record that a module made under an id, such as module.id."""
    module, fs_id = name.split('.')
    data, = Model.get('ir.model.data', config).find([
            ('module', '=', module),
            ('fs_id', '=', fs_id),
            ])
    return Model.get(data.model, config)(data.db_id)


def seed(config, password=PASSWORD):
    """Make the hospital. The administrator keeps the present password.

    :param config: proteus configuration of the administrator
    :param str password: password of the users
    """
    # The wizards that a new database opens for its first user.
    Item = Model.get('ir.module.config_wizard.item', config)
    for item in Item.find([('state', '=', 'open')]):
        item.state = 'done'
        item.save()
    company = _make_company(config)
    institution = _make(config, 'gnuhealth.institution',
        party=Model.get('party.party', config)(company.party.id), code='SDH',
        institution_type='hospital', public_level='public')
    for login in LOGINS:
        make_professional(
            config, login.person, institution,
            make_user(config, login, company, password))
    for person in PATIENTS:
        patient = make_patient(config, person)
        if person is ALLERGIC:
            _make_risks(config, patient)
    # A condition to order exams for; the core ships none.
    _make(config, 'gnuhealth.pathology', code='S06.0', name="Concussion")
    make_exams(config, EXAMS)


def make_exams(config, exams):
    """Make exams.

    :param config: proteus configuration of the administrator
    :param exams: list of Exam
    """
    Type = Model.get('gnuhealth.imaging.test.type', config)
    Product = Model.get('product.product', config)
    for exam in exams:
        type_, *_ = Type.find([('code', '=', exam.modality)])
        _make(config, 'gnuhealth.imaging.test',
            code=exam.code, name=exam.name, test_type=type_,
            product=Product(xml_record(config, exam.product).id),
            aetitle=exam.aetitle, contrast=exam.contrast,
            body_part=exam.body_part, side=exam.side,
            preparation=exam.preparation,
            imaging_worklist_template=xml_record(config, exam.template))


def _make(config, model, **values):
    record = Model.get(model, config)(**values)
    record.save()
    return record


def _make_company(config):
    """Make the company with its time zone, and set it for the user."""
    party = _make(config, 'party.party',
        name=INSTITUTION, is_institution=True, is_person=False,
        is_patient=False, create_target=False)
    currency = _make(config, 'currency.currency',
        name="Nepalese rupee", code='NPR', symbol="₨")
    company = _make(config, 'company.company',
        party=party, currency=currency, timezone=TIMEZONE)
    User = Model.get('res.user', config)
    administrator, = User.find([('login', '=', 'admin')])
    administrator.companies.append(type(company)(company.id))
    administrator.company = company
    administrator.save()
    config._context = User.get_preferences(True, {})
    return company


def make_user(config, login, company, password=PASSWORD):
    """Make a user with the groups of a login."""
    Company = Model.get('company.company', config)
    Group = Model.get('res.group', config)
    person = login.person
    user = Model.get('res.user', config)(
        name=f'{person.given} {person.family}', login=login.login,
        password=password)
    for group in login.groups:
        user.groups.append(Group(xml_record(config, group).id))
    user.companies.append(Company(company.id))
    user.company = Company(company.id)
    user.save()
    return user


def open_at_login(config):
    """Let what each user begins with open after login."""
    User = Model.get('res.user', config)
    Action = Model.get('ir.action', config)
    for login, name in FIRST_SCREENS.items():
        user, = User.find([('login', '=', login)])
        action = xml_record(config, name).action
        if action not in user.actions:
            user.actions.append(Action(action.id))
            user.save()


def party_values(person, **values):
    """Return the values of the party of a person."""
    return dict(
        name=person.given, lastname=person.family, dob=person.birth,
        gender=person.gender, ref=person.puid, is_person=True,
        name_representation=person.layout, create_target=False, **values)


def _make_party(config, person, **values):
    return _make(config, 'party.party', **party_values(person, **values))


def make_professional(config, person, institution, user=None):
    """Make a health professional, the person that a user is."""
    return _make(config, 'gnuhealth.healthprofessional',
        party=_make_party(config, person, is_patient=False,
            is_healthprof=True, internal_user=user),
        institution=institution)


def make_patient(config, person):
    """Make a patient."""
    return _make(config, 'gnuhealth.patient',
        party=_make_party(config, person, is_patient=True))


def has_module(config, name):
    """Return whether a module is activated.

    :param config: proteus configuration of the administrator
    """
    return bool(Model.get('ir.module', config).find([
                ('name', '=', name), ('state', '=', 'activated')]))


def _make_risks(config, patient):
    """Let a patient bear contrast medium badly."""
    pathology = _make(
        config, 'gnuhealth.pathology', code='Z91.041', name=ALLERGY)
    _create(config, 'gnuhealth.patient.disease',
        patient=patient.id, pathology=pathology.id, is_allergy=True,
        healthprof=None)
    if has_module(config, 'health_gyneco'):
        patient.menopausal = True
        patient.save()
    if has_module(config, 'health_lab'):
        _make_creatinine(config, patient, CREATININE)


def _make_creatinine(config, patient, value):
    """Make the analysis of yesterday, in mg/dL."""
    now = dt.datetime.now().replace(microsecond=0)
    analysis = _create(config, 'gnuhealth.lab', patient=patient.id,
        test=xml_record(
            config, 'health_lab.gnuhealth_test_renalfunctiontest0').id,
        date_requested=now, date_analysis=now - dt.timedelta(days=1))
    shipped = xml_record(
        config, 'health_lab.gnuhealth_test_critearea_creatinine0')
    _create(config, 'gnuhealth.lab.test.critearea', name=shipped.name,
        code=shipped.code, units=shipped.units.id, result=value,
        gnuhealth_lab_id=analysis)


def _create(config, model, **values):
    """Make a record and return its id; GNU Health would refuse the defaults
    to a user who is no health professional."""
    id_, = Model.get(model, config)._proxy.create([values], config.context)
    return id_
